"""Submissions into a leaderboard: rows are computed from the submitted scores, checked, and set beside those there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ood_bench.bank.manifest import Manifest
from ood_bench.errors import IntegrityError
from ood_bench.files import write_bytes
from ood_bench.store.leaderboard import export, identity, named, read
from ood_bench.store.row import METRICS, Row
from ood_bench.store.row_checks import check_rows
from ood_bench.store.rows import rows_of
from ood_bench.store.store import TOLERANCE
from ood_bench.store.submission import merged, opened
from ood_bench.suites import Suite, suite_toml

SCORES = ".scores.zip"


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did to a table."""

    table: Path
    new: tuple[str, ...]
    replaced: tuple[str, ...]  # by a newer version of the scorer
    same: int


def merge(
    folder: Path,
    submissions: Sequence[Path],
    suite: Suite,
    *,
    banks: Mapping[str, Manifest] | None = None,
    plugins: bool = False,
) -> Merged:
    """Add the rows of the submissions to `<suite>.csv` and its records in `folder`.

    Nothing is written where one of them is not what it should be: wrong sizes, changed scores, plug-ins (unless
    `plugins`), or other numbers for a row that is there.
    """
    table = folder / f"{suite.name}.csv"
    records, scores = folder / f"{suite.name}.records.jsonl", folder / f"{suite.name}{SCORES}"
    rows = {identity(row): row for row in (read(records) if records.exists() else [])}
    new: list[str] = []
    replaced: list[str] = []
    same = 0
    for path in submissions:
        for row in _submitted(path, suite, banks or {}, plugins):
            there = rows.get(identity(row))
            if there is None or there.status != "ok":
                new.append(named(row))
            elif there.scorer_version != row.scorer_version:
                replaced.append(f"{named(row)}: version {there.scorer_version} -> {row.scorer_version}")
            else:
                _agree(there, row, path)
                same += 1
                continue
            rows[identity(row)] = row
    export(rows.values(), folder, plugins=plugins)
    if suite.origin == "home":
        write_bytes(folder / "suites" / f"{suite.name}.toml", suite_toml(suite).encode())
    if scores.exists():
        _keep_scores(scores, submissions, suite, list(rows.values()))
    return Merged(table, tuple(new), tuple(replaced), same)


def _submitted(path: Path, suite: Suite, banks: Mapping[str, Manifest], plugins: bool) -> list[Row]:
    with opened(path) as store:
        rows = [row for row in rows_of(store, suite, intervals=True) if row.sources]
    if not rows:
        raise IntegrityError(f"{path} should hold scores of suite {suite.name}, and none of its records belongs to it")
    refused = sorted({row.scorer for row in rows if row.origin == "plugin"})
    if refused and not plugins:
        raise IntegrityError(f"{path} holds rows of plug-ins, which others cannot run: {', '.join(refused)}; --plugins")
    findings = check_rows(rows, {suite.name: suite}, banks, {id(row): named(row) for row in rows})
    if findings:
        raise IntegrityError(f"{path} is refused: " + "; ".join(findings))
    return rows


def _agree(there: Row, row: Row, path: Path) -> None:
    for metric in METRICS:
        was, now = getattr(there, metric), getattr(row, metric)
        if was is None or now is None or abs(was - now) > TOLERANCE:
            raise IntegrityError(
                f"{named(row)} is in the table with {metric} {was} (scores {there.scores_sha256}), but {path} has "
                f"{now} (scores {row.scores_sha256}); one of the two is wrong, or the scorer needs a new version"
            )


def _keep_scores(scores: Path, submissions: Sequence[Path], suite: Suite, rows: list[Row]) -> None:
    with ExitStack() as stack:
        merged([stack.enter_context(opened(path)) for path in (scores, *submissions)], suite, rows, scores)
