"""Confidence intervals and paired tests of the AUROC from ranks alone: DeLong's variance, exact with ties.

The interval is symmetric in log-odds, so it stays inside [0, 1]. Where the variance of ranks is zero (perfect
separation, or every score equal) DeLong says nothing; the interval is then Clopper-Pearson's for min(n_id, n_ood)
comparisons, the number of disjoint (hence independent) ID-OOD pairs, and its `method` says so. It is wide on purpose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.special import betaincinv, erfc, expit, logit, ndtri

from ood_bench.metrics.ood import Scores, SortedScores, auroc, crossing

Method = Literal["delong-logit", "disjoint-pairs", "bootstrap-percentile"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval and how it was made."""

    low: float
    high: float
    level: float
    method: Method


@dataclass(frozen=True, slots=True)
class PairedTest:
    """The difference in AUROC of two scorers on the same rows."""

    difference: float  # first minus second
    standard_error: float
    low: float
    high: float
    level: float
    p_value: float | None  # two-sided; None where the ranks have no variance and yet the values differ


def auroc_variance(id_scores: Scores, ood_scores: Scores) -> float:
    """DeLong's variance of the AUROC (DeLong et al. 1988, mid-ranks as Sun & Xu 2014). Needs two scores in each set."""
    inside = id_scores if isinstance(id_scores, SortedScores) else SortedScores(id_scores, "ID scores")
    outside = ood_scores if isinstance(ood_scores, SortedScores) else SortedScores(ood_scores, "OOD scores")
    _need_two(inside.n, outside.n)
    cross = crossing(inside, outside)
    above_ood = (outside.below[cross.ood_below_id] + outside.below[cross.ood_up_to_id]) / (2 * outside.n)
    below_id = (inside.below[cross.id_below_ood] + inside.below[cross.id_up_to_ood]) / (2 * inside.n)
    return _variance_of_mean(above_ood, np.diff(inside.below)) + _variance_of_mean(below_id, np.diff(outside.below))


def auroc_interval(id_scores: Scores, ood_scores: Scores, *, level: float = 0.95) -> Interval:
    """The confidence interval of the AUROC, see the module's docstring."""
    z = _quantile(level)
    inside = id_scores if isinstance(id_scores, SortedScores) else SortedScores(id_scores, "ID scores")
    outside = ood_scores if isinstance(ood_scores, SortedScores) else SortedScores(ood_scores, "OOD scores")
    value, variance = auroc(inside, outside), auroc_variance(inside, outside)
    if variance == 0:
        return disjoint_pairs(value, min(inside.n, outside.n), level)
    half = z * math.sqrt(variance) / (value * (1 - value))
    centre = float(logit(value))
    return Interval(float(expit(centre - half)), float(expit(centre + half)), level, "delong-logit")


def auroc_paired_test(
    first_id: Real[np.ndarray, " n"],
    first_ood: Real[np.ndarray, " m"],
    second_id: Real[np.ndarray, " n"],
    second_ood: Real[np.ndarray, " m"],
    *,
    level: float = 0.95,
) -> PairedTest:
    """DeLong's test of two scorers whose rows are aligned: row i of both ID arrays is the same sample, likewise OOD."""
    z = _quantile(level)
    n, m = len(first_id), len(first_ood)
    _need_two(n, m)
    above = [
        _share_below(a, SortedScores(b, "OOD scores")) for a, b in ((first_id, first_ood), (second_id, second_ood))
    ]
    below = [_share_below(b, SortedScores(a, "ID scores")) for a, b in ((first_id, first_ood), (second_id, second_ood))]
    by_id, by_ood = above[0] - above[1], below[0] - below[1]
    variance = float(by_id.var(ddof=1) / n + by_ood.var(ddof=1) / m)
    difference, error = float(by_id.mean()), math.sqrt(variance)
    p_value: float | None
    if error > 0:
        p_value = float(erfc(abs(difference) / error / math.sqrt(2)))
    else:
        p_value = 1.0 if difference == 0 else None
    return PairedTest(difference, error, difference - z * error, difference + z * error, level, p_value)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"expected a confidence level between 0 and 1, got {level}")
    return float(ndtri((1 + level) / 2))


def _need_two(n: int, m: int) -> None:
    if min(n, m) < 2:
        raise ValueError(f"a variance of the AUROC needs at least two ID and two OOD scores, got {n} and {m}")


def _variance_of_mean(values: Float[np.ndarray, " u"], count: Int[np.ndarray, " u"]) -> float:
    """Variance of the mean of `values`, each repeated `count` times."""
    n = int(count.sum())
    centred = values - np.dot(count, values) / n
    if np.ptp(values) == 0:
        return 0.0  # not the rounding of the mean
    return float(np.dot(count, centred**2)) / (n - 1) / n


def disjoint_pairs(value: float, pairs: int, level: float) -> Interval:
    """Clopper-Pearson's interval of a share observed in that many independent comparisons."""
    won = value * pairs
    tail = (1 - level) / 2
    low = float(betaincinv(won, pairs - won + 1, tail)) if won > 0 else 0.0
    high = float(betaincinv(won + 1, pairs - won, 1 - tail)) if won < pairs else 1.0
    return Interval(low, high, level, "disjoint-pairs")


def _share_below(scores: Real[np.ndarray, " a"], others: SortedScores) -> Float[np.ndarray, " a"]:
    """Per row: the share of the other set that is smaller, ties counting one half."""
    if not np.isfinite(scores).all():
        raise ValueError("scores: expected finite values, got NaN or infinity")
    left = others.below[np.searchsorted(others.distinct, scores, side="left")]
    right = others.below[np.searchsorted(others.distinct, scores, side="right")]
    share: np.ndarray = (left + right) / (2 * others.n)
    return share
