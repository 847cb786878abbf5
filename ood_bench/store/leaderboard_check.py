"""Does a leaderboard say what its records and scores say? Every finding names the row and the column.

A row is held against the records file beside the table, that against the stored scores (metrics and intervals are
computed anew), scores against the banks at hand, and sizes against the suite. What can be held against nothing is
unverified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ood_bench.bank.manifest import Manifest
from ood_bench.store.leaderboard import cell, identity, named, order, read
from ood_bench.store.row import COLUMNS, Row
from ood_bench.store.row_checks import SHARES, check_rows
from ood_bench.store.row_recompute import recompute
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.suites import Suite

CHANGE = 1e-4  # what a change against an older table must exceed to be listed

_COMPARED_WITH_BASE = (*SHARES, "auroc_std")


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. `findings` and `unverified` name rows; `changes` are against an older table."""

    rows: int
    recomputed: int  # rows whose numbers follow from stored scores
    recorded: int  # rows that agree with their records, whose scores are not at hand
    unverified: tuple[str, ...]
    findings: tuple[str, ...]
    changes: tuple[str, ...] = ()


def check(
    table: Path,
    *,
    records: Path | None = None,
    stores: Sequence[Store] = (),
    suites: Mapping[str, Suite],
    banks: Mapping[str, Manifest] | None = None,
    base: Path | None = None,
) -> Report:
    """Hold the table against everything that is at hand; `records` defaults to the file beside it.

    `banks` maps hashes to the manifests of banks at hand. IntegrityError where the table itself cannot be read.
    """
    rows = read(table)
    beside = records or table.with_name(f"{table.name.removesuffix('.csv')}.records.jsonl")
    findings = [*_unsorted(rows), *_repeated(rows)]
    if records is not None or beside.exists():
        pairs, unmatched = _paired(rows, read(beside), findings)
    else:
        known = [row for suite in suites.values() for store in stores for row in rows_of(store, suite, intervals=True)]
        by_identity = {(identity(row), row.scorer_version): row for row in known}
        pairs = [
            (number, row, full)
            for number, row in enumerate(rows, start=2)
            if (full := by_identity.get((identity(row), row.scorer_version)))
        ]
        unmatched = [_where(n, row) for n, row in enumerate(rows, start=2) if n not in {number for number, *_ in pairs}]
    for number, row, full in pairs:
        findings += [f"{_where(number, row)}: {problem}" for problem in _against_record(row, full)]
    fulls = [full for _, _, full in pairs]
    where = {id(full): _where(number, row) for number, row, full in pairs}
    findings += check_rows(fulls, suites, banks or {}, where)
    recomputed, problems = recompute(fulls, stores, where)
    findings += problems
    empty = [full for full in fulls if full.status == "ok" and not full.sources]
    unverified = [*unmatched, *(f"{where[id(full)]} names no scores" for full in empty)]
    return Report(
        rows=len(rows),
        recomputed=recomputed,
        recorded=len(fulls) - recomputed - len(empty),
        unverified=tuple(unverified),
        findings=tuple(findings),
        changes=() if base is None else tuple(changes(read(base), rows)),
    )


def changes(old: Iterable[Row], new: Iterable[Row]) -> list[str]:
    """What went, what came, and every share that moved by more than 1e-4."""
    before, after = ({identity(row): row for row in rows} for rows in (old, new))
    lines = [f"gone: {named(row)}" for key, row in before.items() if key not in after]
    lines += [f"new: {named(row)}" for key, row in after.items() if key not in before]
    for key in before.keys() & after.keys():
        one, two = before[key], after[key]
        if one.status != two.status:
            lines.append(f"changed: {named(two)}: status {one.status} -> {two.status}")
        for column in _COMPARED_WITH_BASE:
            was, now = getattr(one, column), getattr(two, column)
            if was != now and (was is None or now is None or abs(now - was) > CHANGE):
                delta = "" if was is None or now is None else f" ({now - was:+.6f})"
                lines.append(f"changed: {named(two)}: {column} {cell(was) or 'none'} -> {cell(now) or 'none'}{delta}")
    return sorted(lines)


def _where(number: int, row: Row) -> str:
    return f"line {number} ({named(row)})"


def _unsorted(rows: Sequence[Row]) -> list[str]:
    for number, (row, wanted) in enumerate(zip(rows, sorted(rows, key=order), strict=True), start=2):
        if row is not wanted:
            return [
                f"{_where(number, row)}: the rows should be in the order of the export; here belongs {named(wanted)}"
            ]
    return []


def _repeated(rows: Sequence[Row]) -> list[str]:
    times = Counter((identity(row), row.scorer_version) for row in rows)
    return [
        f"{_where(number, row)}: should stand once, is there {times[identity(row), row.scorer_version]} times"
        for number, row in enumerate(rows, start=2)
        if times[identity(row), row.scorer_version] > 1
    ]


Pair = tuple[int, Row, Row]


def _paired(rows: Sequence[Row], fulls: Sequence[Row], findings: list[str]) -> tuple[list[Pair], list[str]]:
    """Each row with its record: by place where there are as many (so that an edited name is seen), else by name."""
    if len(rows) == len(fulls):
        return [(number, row, full) for number, (row, full) in enumerate(zip(rows, fulls, strict=True), start=2)], []
    left = {(identity(full), full.scorer_version): full for full in fulls}
    pairs: list[Pair] = []
    unmatched = []
    for number, row in enumerate(rows, start=2):
        full = left.pop((identity(row), row.scorer_version), None)
        if full is None:
            unmatched.append(_where(number, row))
        else:
            pairs.append((number, row, full))
    findings += [f"the records have {named(full)}, which is missing from the table" for full in left.values()]
    return pairs, unmatched


def _against_record(row: Row, full: Row) -> list[str]:
    return [
        f"{column} is {cell(getattr(row, column)) or 'empty'}, its record says {cell(getattr(full, column)) or 'empty'}"
        for column in COLUMNS
        if cell(getattr(row, column)) != cell(getattr(full, column))
    ]
