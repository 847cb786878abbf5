"""Thresholds for deployment, from scores of held-out ID rows alone: a row is accepted where its score is >= threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from jaxtyping import Float, Real

from ood_bench.metrics.ood import SortedScores, threshold_at_tpr

Rule = Literal["tpr", "alarm"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold and where it comes from; `rule` is `tpr` (share of ID kept) or `alarm` (guaranteed false-alarm rate)."""

    value: float
    rule: Rule
    level: float
    n: int  # calibration rows
    kept: float  # share of the calibration rows that it accepts


def threshold_at(scores: Real[np.ndarray, " n"], rule: Rule, level: float) -> Threshold:
    """The threshold of a rule on calibration scores.

    `tpr`: the highest observed score that keeps at least `level` of them. `alarm`: the split-conformal threshold, the
    k-th smallest score with k = floor(level (n + 1)): a new ID row, exchangeable with these, falls below it with
    probability at most `level`, whatever the scorer and the distribution. Raises ValueError where n is too small.
    """
    ordered = SortedScores(scores, "calibration scores")
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, got {level:g}")
    if rule == "tpr":
        value = threshold_at_tpr(ordered, tpr=level, positive="id")
    else:
        k = math.floor(Fraction(str(level)) * (ordered.n + 1))
        if k == 0:
            needed = math.ceil(1 / Fraction(str(level))) - 1
            raise ValueError(
                f"a false-alarm rate of {level:g} needs at least {needed} calibration rows, got {ordered.n}"
            )
        value = ordered.nth_smallest(k)
    return Threshold(value, rule, level, ordered.n, (ordered.n - ordered.count_below(value)) / ordered.n)


def conformal_p_values(calibration: Real[np.ndarray, " n"], scores: Real[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """(1 + calibration scores <= score) / (n + 1): of a new ID row at most t with probability at most t."""
    ordered = np.sort(calibration)
    p: np.ndarray = (1 + np.searchsorted(ordered, scores, side="right")) / (len(ordered) + 1)
    return p
