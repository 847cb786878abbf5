"""Where the data that ships with the program lies: sets, suites, profiles."""

from __future__ import annotations

from pathlib import Path

# A wheel puts `datasets` inside the package; a checkout (editable or not installed at all) has it beside the package.
# It is found by path because it is no Python package: `ood_bench.datasets` cannot be imported from an editable install.
_INSIDE, _BESIDE = Path(__file__).parent / "datasets", Path(__file__).parents[1] / "datasets"
DATA = _INSIDE if _INSIDE.is_dir() else _BESIDE


def shipped_files(folder: str, suffix: str = ".toml") -> dict[str, Path]:
    """The files of `datasets/<folder>` of this installation that end in `suffix`, by name without it."""
    return files_by_stem(DATA / folder, suffix)


def files_by_stem(folder: Path, suffix: str = ".toml") -> dict[str, Path]:
    """The visible files of a folder that end in `suffix`, by name without it; empty where there is no such folder.

    Hidden files are what an interrupted write leaves behind.
    """
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {
        file.name.removesuffix(suffix): file
        for file in found
        if file.name.endswith(suffix) and not file.name.startswith(".")
    }
