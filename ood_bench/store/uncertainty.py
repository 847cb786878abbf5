"""Confidence intervals of rows, from stored scores: DeLong for the AUROC of one set, a bootstrap for the rest.

The bootstrap draws one set of ID weights per resample and uses it against every OOD set, so a group's mean has an
interval too. Where a resample cannot differ (perfect separation) the AUROC and FPR95 have the interval of disjoint
pairs, whose `method` says so, and the AUPR has none. Intervals are kept in the home because they cost seconds; they are
derived from scores and never compared with anything as if they were the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ood_bench.canonical import sha256_of
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.files import read_json, write_json
from ood_bench.metrics.bootstrap import Resampled, bootstrap_ood
from ood_bench.metrics.intervals import Interval, auroc_interval, disjoint_pairs
from ood_bench.metrics.ood import SortedScores
from ood_bench.store.row import METRICS, Row, Source
from ood_bench.store.store import Store

RESAMPLES = 1000
SEED = 0
LEVEL = 0.95

_VERSION = 1  # of the way intervals are made: raised when they change, so that kept ones are made again
_TOGETHER = 16  # scorers that are resampled at a time: they share the drawing of weights, and the memory
_BOUNDED = ("auroc", "fpr95_id_positive", "fpr95_ood_positive")  # shares of comparisons

Intervals: TypeAlias = tuple[tuple[str, Interval], ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """The rows of one scorer on one checkpoint: one ID record against the sets of all of them."""

    rows: tuple[Row, ...]
    sources: Mapping[str, Source]  # OOD, by set

    @property
    def inside(self) -> Source:
        return self.rows[0].sources[0]

    @property
    def material(self) -> tuple[object, ...]:
        """Lines of equal material score the same rows and are resampled together."""
        return (self.inside.bank_sha256, *((name, source.bank_sha256) for name, source in self.sources.items()))

    def key(self, resamples: int, seed: int) -> str:
        rows = [[[source.set, source.scores_sha256] for source in row.sources] for row in self.rows]
        return sha256_of({"version": _VERSION, "resamples": resamples, "seed": seed, "level": LEVEL, "rows": rows})


def with_intervals(
    store: Store, rows: Sequence[Row], *, resamples: int = RESAMPLES, seed: int = SEED, anew: bool = False
) -> list[Row]:
    """The same rows with 95 % intervals of every metric, and those of the AUROC in their columns.

    Rows without numbers, and those of fewer than two ID or OOD scores, stay as they are. `anew` passes over what is
    kept and keeps the new ones.
    """
    found: dict[int, Intervals] = {}
    todo: dict[tuple[object, ...], list[_Line]] = {}
    for line in _lines(rows):
        kept = None if anew else _kept(store, line, resamples, seed)
        if kept is None:
            todo.setdefault(line.material, []).append(line)
        else:
            found.update(zip(map(id, line.rows), kept, strict=True))
    for lines in todo.values():
        for start in range(0, len(lines), _TOGETHER):
            some = lines[start : start + _TOGETHER]
            for line, made in zip(some, _made(store, some, resamples, seed), strict=True):
                found.update(zip(map(id, line.rows), made, strict=True))
                with suppress(RequestError):  # a home that cannot be written: they are made again next time
                    write_json(_path(store, line.key(resamples, seed)), _to_json(made))
    return [_carrying(row, found.get(id(row), ())) for row in rows]


def _carrying(row: Row, intervals: Intervals) -> Row:
    auroc = dict(intervals).get("auroc")
    low, high = (None, None) if auroc is None else (auroc.low, auroc.high)
    return replace(row, intervals=intervals, auroc_lo=low, auroc_hi=high)


def _lines(rows: Iterable[Row]) -> list[_Line]:
    by_inside: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.status == "ok" and row.sources and min(row.n_id or 0, row.n_ood or 0) > 1:
            inside = row.sources[0]
            by_inside.setdefault((row.suite, inside.record, inside.scores_sha256), []).append(row)
    return [
        _Line(tuple(members), {source.set: source for row in members for source in row.sources if source.role == "ood"})
        for members in by_inside.values()
    ]


def _made(store: Store, lines: Sequence[_Line], resamples: int, seed: int) -> Iterator[tuple[Intervals, ...]]:
    """The intervals of lines of equal material, resampled together."""
    inside = {str(i): _scores(store, line.inside) for i, line in enumerate(lines)}
    outside = {
        name: {str(i): _scores(store, line.sources[name]) for i, line in enumerate(lines)} for name in lines[0].sources
    }
    resampled = bootstrap_ood(inside, outside, resamples=resamples, seed=seed)
    for i, line in enumerate(lines):
        ranked = SortedScores(inside[str(i)])
        yield tuple(_of_row(row, str(i), ranked, outside, resampled) for row in line.rows)


def _of_row(
    row: Row,
    name: str,
    inside: SortedScores,
    outside: Mapping[str, Mapping[str, np.ndarray]],
    resampled: Resampled,
) -> Intervals:
    sets = [source.set for source in row.sources if source.role == "ood"]
    pairs = min(inside.n, *(len(outside[each][name]) for each in sets))
    made: list[tuple[str, Interval]] = []
    for metric in METRICS:
        if metric == "auroc" and len(sets) == 1:
            made.append((metric, auroc_interval(inside, outside[sets[0]][name], level=LEVEL)))
            continue
        interval = resampled.interval(name, sets, metric, level=LEVEL)
        if interval.low < interval.high:
            made.append((metric, interval))
        elif metric in _BOUNDED:
            made.append((metric, disjoint_pairs(getattr(row, metric), pairs, LEVEL)))
    return tuple(made)


def _scores(store: Store, source: Source) -> np.ndarray:
    record = store.get(source.record)
    if record is None or record.scores_sha256 != source.scores_sha256:
        raise IntegrityError(
            f"the scores of set {source.set} should be those of record {source.record}, but the store at "
            f"{store.home.root} has {'none' if record is None else 'others'}; compute the rows again"
        )
    return store.scores(record)


def _path(store: Store, key: str) -> Path:
    return store.home.root / "derived" / "intervals" / key[:2] / f"{key}.json"


def _to_json(made: Sequence[Intervals]) -> dict[str, object]:
    return {"schema": 1, "rows": [{metric: asdict(interval) for metric, interval in of_row} for of_row in made]}


def _kept(store: Store, line: _Line, resamples: int, seed: int) -> tuple[Intervals, ...] | None:
    """What was kept for the line; None where there is nothing, or nothing that can be read."""
    path = _path(store, line.key(resamples, seed))
    if not path.exists():
        return None
    try:
        rows = read_json(path, "kept intervals")["rows"]
        kept = tuple(tuple((name, Interval(**value)) for name, value in row.items()) for row in rows)
    except (IntegrityError, KeyError, TypeError, AttributeError):
        return None
    return kept if len(kept) == len(line.rows) else None
