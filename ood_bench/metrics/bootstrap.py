"""Stratified bootstrap of the OOD and risk-coverage metrics: scores are sorted once, resamples are weights on them.

A resample draws each set's rows with replacement, as many as there are: multinomial counts. Every metric is a function
of running sums of counts in the order of the scores, and many resamples are summed side by side. The counts of a set
depend on the seed, its name and its size alone, so ID rows carry the same weights against every OOD set (group means
have intervals) and for every scorer (differences are paired).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int, Real

from ood_bench.metrics.intervals import Interval
from ood_bench.metrics.ood import Crossing, OodMetrics, SortedScores, crossing
from ood_bench.metrics.shares import rows_at_least

METRICS = tuple(field.name for field in fields(OodMetrics))
SELECTIVE_METRICS = ("aurc", "augrc", "accuracy")
ID_STRATUM = "id"  # counts of the ID rows; a set's own name is prefixed, so that none can share it

_UNIT = 25  # resamples per seed: results do not depend on how many units are computed side by side
_CELLS = 1_250_000  # weights held per set at a time: 5 MB, which stays in the cache
# added to true positives: vanishes beside a whole number, and makes 0 / 0 the 1 at which a precision curve begins
_TINY = np.float32(1e-30)


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """Metrics of every resample, by scorer, set and metric."""

    scorers: tuple[str, ...]
    sets: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Float[np.ndarray, "scorers sets metrics resamples"]

    def of(self, scorer: str, sets: Sequence[str], metric: str) -> Float[np.ndarray, " resamples"]:
        """The metric in each resample, averaged over `sets` without weights."""
        rows = [self.sets.index(name) for name in sets]
        mean: np.ndarray = self.values[self.scorers.index(scorer), rows, self.metrics.index(metric)].mean(axis=0)
        return mean

    def interval(self, scorer: str, sets: Sequence[str], metric: str, *, level: float = 0.95) -> Interval:
        """Percentile interval of a metric on one set, or of its unweighted mean over several."""
        return _percentiles(self.of(scorer, sets, metric), level)

    def difference(self, first: str, second: str, sets: Sequence[str], metric: str, *, level: float = 0.95) -> Interval:
        """Percentile interval of first - second, paired by resample."""
        return _percentiles(self.of(first, sets, metric) - self.of(second, sets, metric), level)


def bootstrap_ood(
    id_scores: Mapping[str, Real[np.ndarray, " n"]],
    ood_scores: Mapping[str, Mapping[str, Real[np.ndarray, " _"]]],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """Every OOD metric in every resample: `id_scores[scorer]` against `ood_scores[set][scorer]`, rows aligned."""
    scorers, sets = tuple(id_scores), tuple(ood_scores)
    n = _common_length("ID", id_scores)
    sizes = {name: _common_length(name, ood_scores[name]) for name in sets}
    inside = [_Ranked.of(id_scores[s], f"{s}: ID scores") for s in scorers]
    outside = [[_Ranked.of(ood_scores[o][s], f"{s}: scores of {o}") for o in sets] for s in scorers]
    crossings = [[crossing(i.sorted, o.sorted) for o in row] for i, row in zip(inside, outside, strict=True)]
    values = np.empty((len(scorers), len(sets), len(METRICS), resamples))
    for block in _blocks(resamples, max(n, *sizes.values())):
        id_counts = _counts(ID_STRATUM, n, block, seed)
        ood_counts = [_counts(f"ood:{name}", sizes[name], block, seed) for name in sets]
        for s, ranked in enumerate(inside):
            id_below = ranked.running(id_counts)
            for o, counts in enumerate(ood_counts):
                ood_below = outside[s][o].running(counts)
                values[s, o, :, block] = _metrics(id_below, ood_below, crossings[s][o])
    return Resampled(scorers, sets, METRICS, values)


def bootstrap_selective(
    confidences: Mapping[str, Real[np.ndarray, " n"]],
    correct: Real[np.ndarray, " n"] | np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """AURC (ties merged), AUGRC and accuracy in every resample of the ID rows; the only set is called "id"."""
    n = _common_length("ID", confidences)
    if len(correct) != n:
        raise ValueError(f"correct: expected {n} rows, one per confidence, got {len(correct)}")
    residual = (1 - correct.astype(np.float32))[:, None]
    # the most confident row first
    ranked = [_Ranked.of(-values.astype(np.float64), f"{name}: confidence") for name, values in confidences.items()]
    values = np.empty((len(ranked), 1, len(SELECTIVE_METRICS), resamples))
    for block in _blocks(resamples, n):
        counts = _counts(ID_STRATUM, n, block, seed)
        wrong = counts * residual
        for s, item in enumerate(ranked):
            values[s, 0, :, block] = _risk_areas(item.running(counts), item.running(wrong))
    return Resampled(tuple(confidences), (ID_STRATUM,), SELECTIVE_METRICS, values)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    order: Int[np.ndarray, " n"]
    sorted: SortedScores

    @classmethod
    def of(cls, scores: Real[np.ndarray, " n"], name: str) -> _Ranked:
        return cls(np.argsort(scores), SortedScores(scores, name))

    def running(self, counts: Float[np.ndarray, "n b"]) -> Float[np.ndarray, "_ b"]:
        """Summed counts of the scores below each distinct value, and of all."""
        sums = _running_sum(counts[self.order])
        return sums if len(self.sorted.distinct) == self.sorted.n else sums[self.sorted.below]


Weights = Float[np.ndarray, "_ b"]
PerResample = Float[np.ndarray, " b"]


def _metrics(id_below: Weights, ood_below: Weights, cross: Crossing) -> Float[np.ndarray, "metrics b"]:
    """All OOD metrics per resample, in the order of METRICS; the formulas are those of `ood_metrics`."""
    n, m = float(id_below[-1, 0]), float(ood_below[-1, 0])
    id_count, ood_count = np.diff(id_below, axis=0), np.diff(ood_below, axis=0)
    under, up_to = _gathered(id_below, cross.id_below_ood, cross.id_up_to_ood)
    ood_above = m - ood_below
    ood_from, ood_beyond = _gathered(ood_above, cross.ood_below_id, cross.ood_up_to_id)
    lost = _products(ood_count, under) + (0 if up_to is under else _products(ood_count, up_to))
    pairs = n * m * (1 if up_to is under else 2)
    kept, caught = (n - id_below) + _TINY, ood_below + _TINY
    rate_in, trapezoid_in = _precision(id_count, (kept[:-1], ood_from), (kept[1:], ood_beyond), n)
    rate_out, trapezoid_out = _precision(ood_count, (caught[1:], up_to), (caught[:-1], under), m)
    columns = np.arange(id_below.shape[1])
    # the highest distinct ID value with at most n - needed below it; the lowest distinct OOD value that reaches needed
    keep = _last_at_most(id_below[:-1], n - rows_at_least(0.95, int(n)))
    catch = _last_at_most(ood_below[:-1], rows_at_least(0.95, int(m)) - 1)
    accepted = ood_above[cross.ood_below_id[keep], columns]
    rejected = id_below[cross.id_up_to_ood[catch], columns]
    return np.stack(
        [1 - lost / pairs, accepted / m, rejected / n, rate_in, rate_out, trapezoid_in, trapezoid_out]
    ).astype(np.float64)


def _gathered(running: Weights, first: Int[np.ndarray, " k"], second: Int[np.ndarray, " k"]) -> tuple[Weights, Weights]:
    """Rows of the running sums; one array twice where the sets share no value."""
    rows = running[first]
    return rows, (rows if np.array_equal(first, second) else running[second])


def _products(left: Weights, right: Weights) -> PerResample:
    summed: np.ndarray = np.einsum("kb,kb->b", left, right)
    return summed


def _precision(
    count: Weights, at: tuple[Weights, Weights], before: tuple[Weights, Weights], positives: float
) -> tuple[PerResample, PerResample]:
    """Average precision and its trapezoid from (true + _TINY, false) positives at each distinct value and before it."""
    ratio = at[0] + at[1]
    np.divide(at[0], ratio, out=ratio)
    average = _products(count, ratio)
    np.add(*before, out=ratio)
    np.divide(before[0], ratio, out=ratio)
    return average / positives, (average + _products(count, ratio)) / (2 * positives)


def _risk_areas(accepted: Weights, wrong: Weights) -> Float[np.ndarray, "metrics b"]:
    """AURC, AUGRC and accuracy per resample, from running sums by falling confidence (a leading row of zeros)."""
    n = float(accepted[-1, 0])
    step = np.diff(accepted, axis=0)
    risk = wrong[1:] / np.maximum(accepted[1:], 1)
    before = np.where(accepted[:-1] > 0, wrong[:-1] / np.maximum(accepted[:-1], 1), risk)
    area = (np.einsum("kb,kb->b", step, risk) + np.einsum("kb,kb->b", step, before)) / (2 * n)
    generalized = np.einsum("kb,kb->b", step, wrong[1:] + wrong[:-1]) / (2 * n * n)
    return np.stack([area, generalized, 1 - wrong[-1] / n]).astype(np.float64)


def _blocks(resamples: int, largest: int) -> Iterator[slice]:
    if resamples < 1:
        raise ValueError(f"expected at least one resample, got {resamples}")
    size = _UNIT * max(1, _CELLS // (largest * _UNIT))
    return (slice(start, min(start + size, resamples)) for start in range(0, resamples, size))


def _counts(stratum: str, n: int, block: slice, seed: int) -> Float[np.ndarray, "n b"]:
    """How often each row is drawn in each resample of the block: exact multinomial counts."""
    units = []
    for unit in range(block.start // _UNIT, -(-block.stop // _UNIT)):
        generator = np.random.default_rng([seed, unit, *stratum.encode()])
        drawn = generator.integers(0, n, size=(n, _UNIT)) * _UNIT + np.arange(_UNIT)
        units.append(np.bincount(drawn.ravel(), minlength=n * _UNIT).reshape(n, _UNIT).astype(np.float32))
    return np.concatenate(units, axis=1)[:, : block.stop - block.start]


def _running_sum(counts: Float[np.ndarray, "n b"]) -> Float[np.ndarray, "n+1 b"]:
    """Cumulative sum down the rows with a leading row of zeros. float32 holds whole numbers up to 2^24 exactly.

    In about sqrt(n) strips at once, each step adding rows of all strips: numpy's own accumulate takes one number at a
    time, which is ten times slower here.
    """
    n, b = counts.shape
    length = max(1, round(n**0.5))
    strips = -(-n // length)
    sums = np.zeros((1 + strips * length, b), dtype=np.float32)
    sums[1 : n + 1] = counts
    table = sums[1:].reshape(strips, length, b)
    for row in range(1, length):
        table[:, row] += table[:, row - 1]
    for strip in range(1, strips):
        table[strip] += table[strip - 1, -1]
    return sums[: n + 1]


def _last_at_most(running: Weights, limit: float | int) -> Int[np.ndarray, " b"]:
    """Per resample the last row whose running sum is <= limit, by bisection (row 0 is 0, sums never fall)."""
    columns = np.arange(running.shape[1])
    low = np.zeros(len(columns), dtype=np.int64)
    high = np.full(len(columns), len(running))
    for _ in range(len(running).bit_length()):
        middle = (low + high) // 2
        fits = running[middle, columns] <= limit
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return low


def _percentiles(values: Float[np.ndarray, " resamples"], level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "bootstrap-percentile")


def _common_length(name: str, scores: Mapping[str, Real[np.ndarray, " _"]]) -> int:
    lengths = {len(values) for values in scores.values()}
    if len(lengths) != 1:
        raise ValueError(f"{name}: expected the same rows for every scorer, got lengths {sorted(lengths)}")
    return lengths.pop()
