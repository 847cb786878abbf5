"""The rows of a suite's table, computed from stored scores: ID record + OOD record + metrics."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ood_bench.metrics.ood import SortedScores, id_accuracy, ood_metrics
from ood_bench.store.records import Run, ScoreRecord
from ood_bench.store.row import (
    COLUMNS,
    MEAN,
    METRICS,
    Row,
    Source,
    Status,
    sha256_of_all_scores,
    sha256_of_inputs,
)
from ood_bench.store.selection import Line, select
from ood_bench.store.store import Store
from ood_bench.store.uncertainty import with_intervals
from ood_bench.suites import Suite

__all__ = ["COLUMNS", "MEAN", "Row", "Source", "rows_of"]

CONSTANT_MARK = "constant on this set"


def rows_of(
    store: Store,
    suite: Suite,
    *,
    run: Run | None = None,
    models: Collection[str] = (),
    scorers: Collection[str] = (),
    intervals: bool = False,
) -> list[Row]:
    """One row per scorer, checkpoint and OOD set, and one per group for the mean over its sets.

    With a run: what it computed, skipped and failed at. Without: everything stored that belongs to the suite's sets.
    `models` and `scorers` (names or specs) keep only those. A row that cannot be computed says why. `intervals` adds
    95 % confidence intervals, which cost seconds the first time and are kept (see `with_intervals`).
    """
    rows = [
        row for _, of_line in rows_of_lines(store, suite, select(store, suite, run, models, scorers)) for row in of_line
    ]
    return with_intervals(store, rows) if intervals else rows


def rows_of_lines(store: Store, suite: Suite, lines: Iterable[Line]) -> Iterator[tuple[Line, list[Row]]]:
    """Each line with its rows, for those who need its records beside the numbers."""
    accuracies = _Accuracies(store)
    for line in lines:
        yield line, _rows_of_line(store, suite, line, accuracies)


class _Accuracies:
    """ID accuracy by bank, looked up once; None where outcomes or labels are missing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, float | None] = {}

    def of(self, bank_sha256: str) -> float | None:
        if bank_sha256 not in self._known:
            outcomes = self._store.outcomes(bank_sha256)
            labelled = outcomes is not None and outcomes[1].size > 0 and bool((outcomes[1] >= 0).all())
            self._known[bank_sha256] = id_accuracy(*outcomes) if outcomes is not None and labelled else None
        return self._known[bank_sha256]


@dataclass(frozen=True, slots=True)
class _Inside:
    """The ID half of a line's rows, sorted once for all of its OOD sets."""

    record: ScoreRecord
    scores: SortedScores
    accuracy: float | None


def _rows_of_line(store: Store, suite: Suite, line: Line, accuracies: _Accuracies) -> list[Row]:
    record = line.records.get(suite.test) if suite.test is not None else None
    inside = None
    if record is not None:
        scores = SortedScores(store.scores(record), record.what)
        inside = _Inside(record, scores, accuracies.of(record.key.bank_sha256))
    rows: list[Row] = []
    for group, sets in suite.groups.items():
        empty = _empty_row(suite, line, group)
        members = [_row(store, suite, line, replace(empty, set=name), inside) for name in sets]
        seconds = _total([r.score_seconds for name in (suite.test, *sets) if name and (r := line.records.get(name))])
        rows += [*members, _mean_row(empty, members, seconds)]
    return rows


def _empty_row(suite: Suite, line: Line, group: str) -> Row:
    """What all rows of a line and group have in common."""
    row = Row(
        suite=suite.name,
        protocol=suite.protocol or None,
        model=line.model,
        model_seed=line.model_seed,
        scorer=line.scorer,
        params=line.params,
        set=MEAN,
        group=group,
        n_seeds=1,
        status="skipped",
    )
    return _described(row, list(line.records.values())) if line.records else row


def _row(store: Store, suite: Suite, line: Line, row: Row, inside: _Inside | None) -> Row:
    outside = line.records.get(row.set)
    if inside is None or outside is None:
        status, reason = _missing(suite, line, row.set, inside)
        return replace(row, status=status, reason=reason)
    scores = SortedScores(store.scores(outside), outside.what)
    return _measured(_described(row, [inside.record, outside]), inside, outside, scores)


def _described(row: Row, records: Sequence[ScoreRecord]) -> Row:
    """The row with what its records say beside the scores."""
    first = records[0]
    sources = [record.provenance[0] for record in records if record.provenance]
    return replace(
        row,
        profile=first.profile,
        tuned_on=first.tuned_on,
        seed=first.key.seed,
        fit_seconds=next((r.fit_seconds for r in records if r.fit_seconds is not None), None),
        device=_joined(source["device"] for source in sources),
        scorer_version=first.key.version,
        origin=first.origin,
        ood_bench_version=_joined(source["program"] for source in sources),
        date=max((source["time"] for source in sources), default=None),
    )


def _measured(row: Row, inside: _Inside, outside: ScoreRecord, scores: SortedScores) -> Row:
    sources = (Source.of("id", inside.record), Source.of("ood", outside))
    seconds = (inside.record.score_seconds, outside.score_seconds)
    row = replace(
        row,
        n_id=inside.scores.n,
        n_ood=scores.n,
        id_accuracy=inside.accuracy,
        score_seconds=_total(seconds),
        inputs_sha256=sha256_of_inputs(sources),
        scores_sha256=sha256_of_all_scores(sources),
        sources=sources,
    )
    constant_inside, constant_outside = _is_constant(inside.scores), _is_constant(scores)
    if constant_inside and constant_outside and inside.scores.distinct[0] == scores.distinct[0]:
        reason = f"the score is {scores.distinct[0]:g} for every ID and OOD sample, so it ranks nothing"
        return replace(row, status="failed", reason=reason)
    metrics = ood_metrics(inside.scores, scores)
    marks = _marks(inside.record, outside, constant_inside, constant_outside)
    return replace(
        row,
        status="ok",
        reason="; ".join(marks) or None,
        **{name: getattr(metrics, name) for name in METRICS},
    )


def _is_constant(scores: SortedScores) -> bool:
    return len(scores.distinct) == 1


def _marks(inside: ScoreRecord, outside: ScoreRecord, constant_inside: bool, constant_outside: bool) -> list[str]:
    """What a reader must know about a number; what holds on the ID set alone says so."""
    of_inside, of_outside = list(inside.marks), list(outside.marks)
    if constant_inside and inside.n > 1:
        of_inside.append(CONSTANT_MARK)
    if constant_outside and outside.n > 1:
        of_outside.append(CONSTANT_MARK)
    on_inside = [f"on ID: {mark}" for mark in of_inside if mark == CONSTANT_MARK or mark not in of_outside]
    precision = [f"computed in {outside.key.precision}"] if outside.key.precision else []
    return list(dict.fromkeys([*of_outside, *on_inside, *precision]))


def _missing(suite: Suite, line: Line, name: str, inside: _Inside | None) -> tuple[Status, str]:
    """Why there is no number: what the run said, or what would have to be done."""
    concerned = {None, name} if inside is not None else {None, name, suite.test}
    for status, entries in (("failed", line.failed), ("skipped", line.skipped)):
        for entry in entries:
            if entry.set in concerned:
                return ("failed" if status == "failed" else "skipped"), entry.reason
    if suite.test is None:
        return "skipped", f"suite {suite.name} names no ID test set; name one with --test"
    absent = name if inside is not None else suite.test
    remedy = f"ood-bench run --suite {suite.name} --model {line.model} --scorer {line.spec}"
    return "skipped", f"no scores on {absent}; make its bank if there is none, then: {remedy}"


def _mean_row(empty: Row, members: Sequence[Row], score_seconds: float | None) -> Row:
    """The unweighted mean over a group, only where every set of it is there."""
    missing = [row.set for row in members if row.status != "ok"]
    if missing:
        reason = f"the mean over {empty.group} needs every set of it, but there is no number for {', '.join(missing)}"
        return replace(empty, reason=reason)
    sources = (members[0].sources[0], *(row.sources[1] for row in members))
    means: dict[str, Any] = {name: math.fsum(getattr(row, name) for row in members) / len(members) for name in METRICS}
    return replace(
        empty,
        status="ok",
        reason=_shared_reason(members),
        n_id=members[0].n_id,
        n_ood=sum(row.n_ood or 0 for row in members),
        id_accuracy=members[0].id_accuracy,
        score_seconds=score_seconds,
        device=_joined(row.device for row in members),
        ood_bench_version=_joined(row.ood_bench_version for row in members),
        date=max((row.date for row in members if row.date), default=None),
        inputs_sha256=sha256_of_inputs(sources),
        scores_sha256=sha256_of_all_scores(sources),
        sources=sources,
        **means,
    )


def _shared_reason(members: Sequence[Row]) -> str | None:
    """The marks of a group: once where all sets have them, else with the set's name."""
    reasons = {row.reason for row in members}
    if len(reasons) == 1:
        return reasons.pop()
    return "; ".join(f"{row.set}: {row.reason}" for row in members if row.reason)


def _total(seconds: Sequence[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return math.fsum(known) if known and len(known) == len(seconds) else None


def _joined(values: Iterable[str | None]) -> str | None:
    parts = {part for value in values if value for part in value.split(", ")}
    return ", ".join(sorted(parts)) or None
