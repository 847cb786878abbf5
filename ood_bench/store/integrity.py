"""Is a store whole? Damage is told from leftovers: what a process that was killed leaves behind is harmless."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ood_bench.errors import OodBenchError
from ood_bench.home import Home
from ood_bench.store.reading import read_record, read_run
from ood_bench.store.store import Store

DAY = 86_400.0

_RECORD = re.compile(r"([0-9a-f]{64})\.json")
_SCORES = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{8})\.safetensors")
_TEMPORARY = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}\.(tmp|new)")  # of ood_bench.files and of the claim of a record


@dataclass(frozen=True, slots=True)
class Health:
    """What a check of a store found."""

    records: int  # whole ones, with whole scores
    outcomes: int
    runs: int
    damaged: tuple[str, ...]
    leftovers: tuple[Path, ...]  # unfinished files and scores without a record

    @property
    def is_clean(self) -> bool:
        return not self.damaged


def check_store(home: Home) -> Health:
    """Read everything and verify every hash."""
    store = Store(home)
    damaged: list[str] = []
    counts = {"records": 0, "outcomes": 0, "runs": 0}
    for path in _files(home.records, _RECORD):
        try:
            store.scores(read_record(path))
            counts["records"] += 1
        except OodBenchError as error:
            damaged.append(str(error))
    for path in _files(home.root / "outcomes", re.compile(r"[0-9a-f]{64}\.safetensors")):
        try:
            store.outcomes(path.stem)
            counts["outcomes"] += 1
        except OodBenchError as error:
            damaged.append(str(error))
    for path in sorted(home.runs.glob("[0-9]*.json")):
        try:
            run = read_run(path)
        except OodBenchError as error:
            damaged.append(str(error))
            continue
        missing = [key for key in run.records if not (home.records / key[:2] / f"{key}.json").exists()]
        if missing:
            damaged.append(
                f"the run {run.id} names {len(missing)} records that are not there, such as {missing[0]}; run it again"
            )
        else:
            counts["runs"] += 1
    return Health(**counts, damaged=tuple(damaged), leftovers=tuple(find_leftovers(home)))


def find_leftovers(home: Home, *, older_than: float = 0.0) -> list[Path]:
    """Files that nothing points at and that were written at least `older_than` seconds ago.

    A younger one may belong to a process that is at work.
    """
    latest = time.time() - older_than
    folders = [home.records, home.root / "outcomes", home.runs, home.root / "derived"]
    paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*"))]
    return [path for path in paths if _is_leftover(path) and _modified(path) <= latest]


def remove_leftovers(paths: list[Path]) -> int:
    """Remove the files; returns how many bytes that freed."""
    freed = 0
    for path in paths:
        freed += path.stat().st_size
        path.unlink()
    return freed


def _is_leftover(path: Path) -> bool:
    if _TEMPORARY.fullmatch(path.name):
        return True
    match = _SCORES.fullmatch(path.name)
    if match is None:
        return False
    record = path.with_name(f"{match[1]}.json")
    try:
        return not record.exists() or read_record(record).scores_sha256[:8] != match[2]
    except OodBenchError:
        return False  # the record is damaged, its scores may be all there is


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # finished while we looked
        return float("inf")


def _files(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.rglob("*")) if name.fullmatch(path.name))
