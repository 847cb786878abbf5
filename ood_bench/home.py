"""Where things are kept: banks, records, runs and the user's suites below one folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ood_bench.naming import folder_name


@dataclass(frozen=True, slots=True)
class Home:
    """One folder with everything the program keeps; see `find_home` for how it is chosen."""

    root: Path

    @property
    def banks(self) -> Path:
        return self.root / "banks"

    @property
    def records(self) -> Path:
        return self.root / "records"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def suites(self) -> Path:
        return self.root / "suites"

    def model_folder(self, model: str, seed: int | None = None) -> Path:
        """`banks/<model>[@seed]`, where the banks of one checkpoint live."""
        at = "" if seed is None else f"@{seed}"
        return self.banks / f"{folder_name(model)}{at}"

    def bank_folder(self, model: str, seed: int | None, set_name: str, content: str) -> Path:
        """`banks/<model>[@seed]/<set>@<8 hex>`; `content` is the hash of the image list and transform."""
        return self.model_folder(model, seed) / f"{folder_name(set_name)}@{content[:8]}"

    def head_folder(self, model: str, seed: int | None, label_space: str) -> Path:
        """`banks/<model>[@seed]/heads/<label space>`; one backbone may have several heads."""
        return self.model_folder(model, seed) / "heads" / folder_name(label_space)


def find_home(given: str | os.PathLike[str] | None = None) -> Home:
    """`given`, else $OOD_BENCH_HOME, else the platform's cache folder."""
    chosen = given or os.environ.get("OOD_BENCH_HOME") or platformdirs.user_cache_dir("ood-bench", appauthor=False)
    return Home(Path(chosen).expanduser().resolve())
