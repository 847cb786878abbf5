"""The points that a picture of scores is drawn from: histograms, ROC curves, risk-coverage curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from ood_bench.metrics.ood import Scores, SortedScores
from ood_bench.metrics.risk_coverage import risk_coverage_curve

BINS = 48
TAIL = 0.005  # share of a set's scores at either end that may lie outside the picture: they count in its outermost bins


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """Several sets over the same bins. A set's shares sum to 1: what lies beyond the edges is in the outermost bins."""

    edges: Float[np.ndarray, " e"]  # one more than there are bins
    shares: Mapping[str, Float[np.ndarray, " _"]]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A line through points of rising x."""

    x: Float[np.ndarray, " p"]
    y: Float[np.ndarray, " p"]

    def at(self, x: Float[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
        """The height at each x, the upper end where the line is vertical; flat beyond its ends."""
        last = np.searchsorted(self.x, x, side="right") - 1
        left, right = np.maximum(last, 0), np.minimum(last + 1, len(self.x) - 1)
        width = self.x[right] - self.x[left]
        part = np.divide(x - self.x[left], width, out=np.zeros(len(x)), where=width > 0)
        height: np.ndarray = self.y[left] + np.clip(part, 0, 1) * (self.y[right] - self.y[left])
        return height


def histograms(scores: Mapping[str, Real[np.ndarray, " _"]], bins: int = BINS) -> Histograms:
    """Shares per bin of each set, between the smallest and the largest quantile (`TAIL`) of any set."""
    exact = {name: values.astype(np.float64) for name, values in scores.items()}
    ends = np.array([np.quantile(values, (TAIL, 1 - TAIL)) for values in exact.values()])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if not high > low:  # every score is the same
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    edges = np.linspace(low, high, bins + 1)
    shares = {
        name: np.histogram(np.clip(values, low, high), bins=edges)[0] / len(values) for name, values in exact.items()
    }
    return Histograms(edges, shares)


def roc(id_scores: Scores, ood_scores: Scores) -> Curve:
    """Share of ID kept (y) over share of OOD accepted (x), from (0, 0) to (1, 1), ties joined linearly.

    The area under it is the AUROC. Pass `SortedScores` where a set is used more than once.
    """
    kept, accepted = (
        scores if isinstance(scores, SortedScores) else SortedScores(scores) for scores in (id_scores, ood_scores)
    )
    thresholds = np.union1d(kept.distinct, accepted.distinct)[::-1]
    return Curve(np.append(0.0, _at_least(accepted, thresholds)), np.append(0.0, _at_least(kept, thresholds)))


def risk_coverage(confidence: Real[np.ndarray, " n"], right: np.ndarray) -> Curve:
    """Share of wrong predictions among the accepted ones (y) over the share that is accepted (x)."""
    curve = risk_coverage_curve(confidence, right)
    return Curve(curve.coverage, curve.risk)


def _at_least(scores: SortedScores, thresholds: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """The share of the scores that are >= each threshold."""
    below = scores.below[np.searchsorted(scores.distinct, thresholds)]
    share: np.ndarray = 1 - below / scores.n
    return share
