"""Which banks a home holds. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ood_bench.bank.manifest import Manifest, has_manifest, is_staging, read_manifest, remove_folder, staging_of
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.naming import folder_name


def find_banks(home: Home) -> list[tuple[Path, Manifest]]:
    """Every finished bank, ordered by folder."""
    return [(folder, read_manifest(folder)) for folder in _folders(home) if has_manifest(folder)]


def find_interrupted(home: Home) -> list[Path]:
    """Folders of banks whose writing was cut off; repeating the command that made them resumes it."""
    return [folder for folder in _folders(home) if not has_manifest(folder)]


def find_bank(
    home: Home,
    model: str,
    seed: int | None,
    set_name: str,
    list_sha256: str | None = None,
    *,
    label_space: str | None = None,
) -> Path | None:
    """The one finished bank of this set, or None. Where several match, an error names them."""
    found = []
    for folder in _bank_folders(home.model_folder(model, seed)):
        if not folder.name.startswith(f"{folder_name(set_name)}@") or not has_manifest(folder):
            continue
        identity = read_manifest(folder).identity
        if list_sha256 in (None, identity.list_sha256) and label_space in (None, identity.label_space):
            found.append(folder)
    if len(found) > 1:
        raise RequestError(
            f"one bank of {model} on {set_name} was expected, and there are {len(found)}: "
            f"{' and '.join(map(str, found))}; they differ in list, transform or label space: remove one, "
            "or name a suite that says which"
        )
    return found[0] if found else None


def size_in_bytes(folder: Path) -> int:
    """What a bank takes on disk."""
    return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())


def remove(folder: Path) -> None:
    """Remove a bank, finished or interrupted, and what was begun to replace it."""
    if not folder.is_dir():
        raise RequestError(f"no bank is at {folder}; ood-bench list banks shows those there are")
    remove_folder(staging_of(folder))
    remove_folder(folder)


def _folders(home: Home) -> Iterator[Path]:
    for model in _subfolders(home.banks):
        yield from _bank_folders(model)


def _bank_folders(model: Path) -> list[Path]:
    """Banks of one checkpoint, without its heads and without replacements that are being written."""
    return [folder for folder in _subfolders(model) if folder.name != "heads" and not is_staging(folder)]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
