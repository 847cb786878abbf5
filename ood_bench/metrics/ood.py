"""OOD detection metrics of two sets of scores, exact with ties. Higher score = more in-distribution; shares in [0, 1].

Each set is sorted once; everything else is counting. A threshold is an observed score, and equal scores stand on the
same side of it. FPR95 has two meanings in the field, so no name here leaves the orientation out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Real

from ood_bench.metrics.shares import rows_at_least

Positive = Literal["id", "ood"]


@dataclass(frozen=True, slots=True)
class OodMetrics:
    """How well one set of scores separates ID from OOD."""

    auroc: float
    fpr95_id_positive: float  # share of OOD accepted at the highest threshold that keeps >= 95 % of ID
    fpr95_ood_positive: float  # share of ID rejected at the lowest threshold that catches >= 95 % of OOD
    aupr_in: float  # average precision, ID positive
    aupr_out: float  # average precision, OOD positive
    aupr_in_trapezoid: float  # area under the linearly joined precision-recall curve, as OpenOOD and ViM print it
    aupr_out_trapezoid: float


class SortedScores:
    """A set of scores, sorted once: its distinct values in ascending order, and how many scores lie below each."""

    __slots__ = ("below", "distinct", "n")

    distinct: Float[np.ndarray, " u"]
    below: Int[np.ndarray, " u+1"]  # scores smaller than distinct[i]; the last entry is n
    n: int

    def __init__(self, scores: Real[np.ndarray, " n"], name: str = "scores") -> None:
        """`name` is what an error message calls the set. Raises ValueError on an empty set, NaN or infinity."""
        if scores.size == 0:
            raise ValueError(f"{name}: expected at least one score, got an empty set")
        values = np.sort(scores)  # in the given precision: float32 sorts twice as fast and orders alike
        # sorting moves -inf to the front, +inf and NaN to the end
        if not (np.isfinite(values[0]) and np.isfinite(values[-1])):
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(f"{name}: expected finite scores, got {scores[row]} at row {row}")
        starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
        self.n = len(values)
        self.distinct = values[starts].astype(np.float64)
        self.below = np.append(starts, self.n)
        for array in (self.distinct, self.below):
            array.setflags(write=False)

    def nth_smallest(self, k: int) -> float:
        """The k-th smallest score, counted from 1, repeats included."""
        return float(self.distinct[np.searchsorted(self.below, k, side="left") - 1])

    def count_below(self, threshold: float) -> int:
        """How many scores are < threshold."""
        return int(self.below[np.searchsorted(self.distinct, threshold, side="left")])

    def count_up_to(self, threshold: float) -> int:
        """How many scores are <= threshold."""
        return int(self.below[np.searchsorted(self.distinct, threshold, side="right")])


Counts = Int[np.ndarray, " _"]


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """Where the distinct values of two sets fall among each other; what is counted is distinct values, not scores."""

    ood_below_id: Int[np.ndarray, " u"]  # per distinct ID value: distinct OOD values < it
    ood_up_to_id: Int[np.ndarray, " u"]  # ... <= it
    id_below_ood: Int[np.ndarray, " v"]  # per distinct OOD value: distinct ID values < it
    id_up_to_ood: Int[np.ndarray, " v"]


def crossing(inside: SortedScores, outside: SortedScores) -> Crossing:
    """The crossing of two sorted sets; `below` of either set turns its counts into numbers of scores."""
    u = len(inside.distinct)
    position = np.searchsorted(inside.distinct, outside.distinct)
    upper = position + (inside.distinct[np.minimum(position, u - 1)] == outside.distinct)
    # distinct OOD values v with v <= id[i] are those of `position` <= i, and with v < id[i] those of `upper` <= i
    return Crossing(
        ood_below_id=np.cumsum(np.bincount(upper, minlength=u + 1)[:u]),
        ood_up_to_id=np.cumsum(np.bincount(position, minlength=u + 1)[:u]),
        id_below_ood=position,
        id_up_to_ood=upper,
    )


Scores = SortedScores | Real[np.ndarray, " _"]


def ood_metrics(id_scores: Scores, ood_scores: Scores) -> OodMetrics:
    """All OOD detection metrics of two sets of scores; pass `SortedScores` where a set is used more than once."""
    inside, outside = _sorted(id_scores, "ID scores"), _sorted(ood_scores, "OOD scores")
    cross = crossing(inside, outside)
    id_below_ood, id_up_to_ood = inside.below[cross.id_below_ood], inside.below[cross.id_up_to_ood]
    precision_in = _average_precision(
        at=(inside.n - inside.below[:-1], outside.n - outside.below[cross.ood_below_id]),
        before=(inside.n - inside.below[1:], outside.n - outside.below[cross.ood_up_to_id]),
    )
    precision_out = _average_precision(
        at=(outside.below[1:], id_up_to_ood),
        before=(outside.below[:-1], id_below_ood),
    )
    return OodMetrics(
        auroc=_auroc(inside, outside, id_below_ood, id_up_to_ood),
        fpr95_id_positive=fpr_at_tpr(inside, outside, positive="id"),
        fpr95_ood_positive=fpr_at_tpr(inside, outside, positive="ood"),
        aupr_in=precision_in[0],
        aupr_out=precision_out[0],
        aupr_in_trapezoid=precision_in[1],
        aupr_out_trapezoid=precision_out[1],
    )


def auroc(id_scores: Scores, ood_scores: Scores) -> float:
    """Chance that an ID score exceeds an OOD score, ties counting one half (the mid-rank Mann-Whitney statistic)."""
    inside, outside = _sorted(id_scores, "ID scores"), _sorted(ood_scores, "OOD scores")
    cross = crossing(inside, outside)
    return _auroc(inside, outside, inside.below[cross.id_below_ood], inside.below[cross.id_up_to_ood])


def fpr_at_tpr(id_scores: Scores, ood_scores: Scores, *, tpr: float = 0.95, positive: Positive) -> float:
    """Share of the other set on the wrong side of the tightest threshold that keeps at least `tpr` of the positives.

    `positive="id"`: share of OOD with score >= t, the highest t that accepts `tpr` of ID.
    `positive="ood"`: share of ID with score <= t, the lowest t that rejects `tpr` of OOD.
    """
    inside, outside = _sorted(id_scores, "ID scores"), _sorted(ood_scores, "OOD scores")
    if positive == "id":
        threshold = threshold_at_tpr(inside, tpr=tpr, positive="id")
        return (outside.n - outside.count_below(threshold)) / outside.n
    threshold = threshold_at_tpr(outside, tpr=tpr, positive="ood")
    return inside.count_up_to(threshold) / inside.n


def threshold_at_tpr(scores: Scores, *, tpr: float = 0.95, positive: Positive) -> float:
    """The observed score at which at least `tpr` of `scores` is caught and no tighter one would do.

    ID is caught by score >= threshold, OOD by score <= threshold.
    """
    values = _sorted(scores, "scores")
    needed = rows_at_least(tpr, values.n)
    return values.nth_smallest(values.n - needed + 1 if positive == "id" else needed)


def mean_metrics(metrics: Iterable[OodMetrics]) -> OodMetrics:
    """The unweighted mean over sets, as near- and far-OOD are summarised."""
    rows = [astuple(item) for item in metrics]
    if not rows:
        raise ValueError("a mean over sets needs at least one set, got none")
    return OodMetrics(*(math.fsum(column) / len(rows) for column in zip(*rows, strict=True)))


def id_accuracy(predicted: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> float:
    """Share of ID rows whose predicted class is their label."""
    if labels.size == 0:
        raise ValueError("ID accuracy needs at least one row, got none")
    return float(np.count_nonzero(predicted == labels) / labels.size)


def _sorted(scores: Scores, name: str) -> SortedScores:
    return scores if isinstance(scores, SortedScores) else SortedScores(scores, name)


def _auroc(inside: SortedScores, outside: SortedScores, id_below_ood: Counts, id_up_to_ood: Counts) -> float:
    # Python integers: 2 * wrong pairs + tied pairs, divided once
    lost = int(np.dot(np.diff(outside.below), id_below_ood + id_up_to_ood))
    pairs = 2 * inside.n * outside.n
    return (pairs - lost) / pairs


def _average_precision(at: tuple[Counts, Counts], before: tuple[Counts, Counts]) -> tuple[float, float]:
    """Average precision and the trapezoid, from (true, false) positives at each distinct positive and just before it.

    Thresholds at which only negatives enter change no recall, so the positives' own thresholds carry the whole sum.
    Before the first sample the precision is taken as 1, as scikit-learn's curve does.
    """
    true, false = at
    precision = true / (true + false)
    entered = true - before[0]
    total = before[0] + before[1]
    earlier = np.divide(before[0], total, out=np.ones(len(total)), where=total > 0)
    positives = int(entered.sum())  # divided last, so that perfect separation is 1 and not its neighbour
    average = float(np.dot(entered, precision)) / positives
    return average, float(np.dot(entered, precision + earlier)) / (2 * positives)
