"""How well does one number per set follow its accuracy? Correlations, and a linear fit that leaves a family out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Correlation:
    """Of estimates with accuracies over sets."""

    r2: float  # Pearson's r squared, the paper's R^2
    rho: float  # Spearman's, ties by mid-ranks, with its sign (papers print its absolute value)
    mae: float  # of accuracies predicted by a line fitted to the sets of all other families


def correlation(
    estimate: Float[np.ndarray, " s"], accuracy: Float[np.ndarray, " s"], families: Sequence[str]
) -> Correlation:
    """The three figures; raises ValueError where either is constant, or where there is one family alone."""
    for name, values in (("estimates", estimate), ("accuracies", accuracy)):
        if len(values) < 3 or np.ptp(values) == 0:
            raise ValueError(f"a correlation needs at least three {name} that differ, got {len(values)}")
    return Correlation(
        r2=_pearson(estimate, accuracy) ** 2,
        rho=_pearson(_ranks(estimate), _ranks(accuracy)),
        mae=float(np.abs(predicted_by_others(estimate, accuracy, families) - accuracy).mean()),
    )


def predicted_by_others(
    estimate: Float[np.ndarray, " s"], accuracy: Float[np.ndarray, " s"], families: Sequence[str]
) -> Float[np.ndarray, " s"]:
    """Each set's accuracy by the least-squares line through the sets of the other families."""
    family = np.array(families)
    if len(set(families)) < 2:
        raise ValueError(f"leaving a family out needs at least two families, got {sorted(set(families))}")
    predicted = np.empty(len(accuracy))
    for left_out in sorted(set(families)):
        mine = family == left_out
        x, y = estimate[~mine], accuracy[~mine]
        spread = np.square(x - x.mean()).sum()
        slope = float(np.dot(x - x.mean(), y - y.mean()) / spread) if spread > 0 else 0.0
        predicted[mine] = y.mean() + slope * (estimate[mine] - x.mean())
    return predicted


def _ranks(values: Float[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
    """Mid-ranks; written out because importing scipy.stats takes longer than a whole table."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    ranks: np.ndarray = middle[place]
    return ranks


def _pearson(a: Float[np.ndarray, " s"], b: Float[np.ndarray, " s"]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))
