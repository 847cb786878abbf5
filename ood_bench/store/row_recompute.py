"""Rows held against stored scores: hashes and words of their records, metrics and intervals computed anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ood_bench.canonical import canonical_json
from ood_bench.errors import IntegrityError, OodBenchError
from ood_bench.metrics.ood import SortedScores, id_accuracy, ood_metrics
from ood_bench.store.records import ScoreRecord
from ood_bench.store.row import METRICS, Row, Source
from ood_bench.store.row_checks import DRAWN, EXACT
from ood_bench.store.store import Store
from ood_bench.store.uncertainty import with_intervals


def recompute(rows: Sequence[Row], stores: Sequence[Store], where: Mapping[int, str]) -> tuple[int, list[str]]:
    """How many rows follow from stored scores, and what differs."""
    findings: list[str] = []
    held: dict[int, list[Row]] = {}
    for row in rows:
        store_ = next((i for i, store in enumerate(stores) if row.sources and _has_all(store, row.sources)), None)
        if store_ is not None:
            held.setdefault(store_, []).append(row)
    done = 0
    for index, members in held.items():
        store = stores[index]
        sorted_: dict[str, SortedScores] = {}
        whole: list[Row] = []
        for row in members:
            try:
                problems = [*_described(store, row), *_measured(store, row, sorted_)]
            except OodBenchError as error:
                problems = [str(error)]
            else:
                whole.append(row)
            findings += [f"{where[id(row)]}: {problem}" for problem in problems]
            done += not problems
        with_low = [row for row in whole if row.auroc_lo is not None]
        for row, made in zip(with_low, with_intervals(store, with_low, anew=True), strict=True):
            findings += [f"{where[id(row)]}: {problem}" for problem in _intervals(row, made)]
    return done, findings


def _has_all(store: Store, sources: Sequence[Source]) -> bool:
    """Whether these very scores are at hand; the same ones from another device have another hash, and are not."""
    try:
        records = [store.get(source.record) for source in sources]
        return all(r is not None and r.scores_sha256 == s.scores_sha256 for r, s in zip(records, sources, strict=True))
    except OodBenchError:
        return True  # a damaged record is at hand, and is named when it is read


def _record(store: Store, source: Source) -> ScoreRecord:
    record = store.get(source.record)
    if record is None:
        raise IntegrityError(f"the record {source.record} of set {source.set} went away while it was read")
    return record


def _described(store: Store, row: Row) -> list[str]:
    """The row's words against its records."""
    problems = []
    for source in row.sources:
        record = _record(store, source)
        if Source.of(source.role, record) != source:
            problems.append(f"the record {source.record[:12]} of set {source.set} has other hashes in the store")
        said = {
            "model": record.model,
            "model_seed": record.model_seed,
            "scorer": record.key.scorer,
            "params": canonical_json(record.key.params),
            "scorer_version": record.key.version,
            "origin": record.origin,
            "profile": record.profile,
            # what was tuned stands in the run; only a submitted record says it itself
            "tuned_on": record.tuned_on or row.tuned_on,
            "seed": record.key.seed,
        }
        problems += [
            f"{column} is {getattr(row, column)}, the stored record of {source.set} says {value}"
            for column, value in said.items()
            if getattr(row, column) != value
        ]
    return list(dict.fromkeys(problems))


def _measured(store: Store, row: Row, sorted_: dict[str, SortedScores]) -> list[str]:
    """The row's numbers against those of its scores."""
    scores = []
    for source in row.sources:
        record = _record(store, source)
        if source.record not in sorted_:
            sorted_[source.record] = SortedScores(store.scores(record), record.what)
        scores.append(sorted_[source.record])
    inside, outside = scores[0], scores[1:]
    measured = [ood_metrics(inside, one) for one in outside]
    expected: dict[str, float | int | None] = {
        metric: math.fsum(getattr(each, metric) for each in measured) / len(measured) for metric in METRICS
    }
    expected |= {"n_id": inside.n, "n_ood": sum(one.n for one in outside)}
    outcomes = store.outcomes(row.sources[0].bank_sha256)
    if outcomes is not None and outcomes[1].size and (outcomes[1] >= 0).all():
        expected["id_accuracy"] = id_accuracy(*outcomes)
    if row.status != "ok":
        return []
    return [
        f"{column} should be {value}, computed from the stored scores, got {getattr(row, column)}"
        for column, value in expected.items()
        if getattr(row, column) is None or abs(getattr(row, column) - (value or 0)) > EXACT
    ]


def _intervals(row: Row, made: Row) -> list[str]:
    problems = [
        f"{column} should be {getattr(made, column)}, computed from the stored scores, got {getattr(row, column)}"
        for column in ("auroc_lo", "auroc_hi")
        if abs((getattr(row, column) or 0) - (getattr(made, column) or 0)) > DRAWN
    ]
    for metric, interval in row.intervals:
        anew = made.interval(metric)
        if anew is None or max(abs(anew.low - interval.low), abs(anew.high - interval.high)) > DRAWN:
            found = "none" if anew is None else f"[{anew.low}, {anew.high}]"
            problems.append(f"the interval of {metric} should be {found}, got [{interval.low}, {interval.high}]")
    return problems
