"""Are the probabilities true? Proper scores, binned calibration errors, and one that needs no bins.

`probabilities` (n, K) are rows that sum to 1 and `labels` are in 0..K-1; `confidence` is in [0, 1] and `correct` says
whether the prediction it belongs to is right. All errors are in [0, 1] and smaller is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.fft import dct, idct

BINS = 15
_GRID = 8192  # cells of SmoothECE's grid: about eight per bandwidth at the smallest that is told apart
_SMALLEST_BANDWIDTH = 0.001

Correct = Bool[np.ndarray, " n"] | Int[np.ndarray, " n"]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """A reliability diagram as a table: one entry per bin. Means are NaN where a bin is empty, and only there."""

    edges: Float[np.ndarray, " edges"]
    count: Int[np.ndarray, " b"]
    confidence: Float[np.ndarray, " b"]  # mean
    accuracy: Float[np.ndarray, " b"]

    @property
    def gap(self) -> Float[np.ndarray, " b"]:
        """|mean confidence - accuracy|, 0 where a bin is empty."""
        gaps: np.ndarray = np.where(self.count > 0, np.abs(self.confidence - self.accuracy), 0.0)
        return gaps

    def ece(self) -> float:
        """Mean gap, each bin weighted by its rows."""
        return float(np.dot(self.count, self.gap) / self.count.sum())

    def mce(self) -> float:
        """Largest gap."""
        return float(self.gap.max())


def nll(probabilities: Float[np.ndarray, "n K"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean negative log-likelihood in nats; infinite where a label has probability 0 (see `nll_of_logits`)."""
    chosen = _chosen(_checked(probabilities, labels), labels)
    return float("inf") if (chosen == 0).any() else float(-np.log(chosen).mean())


def nll_of_logits(logits: Float[np.ndarray, "n K"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean negative log-likelihood of softmax(logits) in nats, finite where the softmax would round to 0."""
    if not np.isfinite(logits).all():
        raise ValueError("logits: expected finite values, got NaN or infinity")
    _check_labels(labels, logits.shape)
    centred = logits.astype(np.float64) - logits.max(axis=1, keepdims=True).astype(np.float64)
    return float((np.log(np.exp(centred).sum(axis=1)) - _chosen(centred, labels)).mean())


def brier(probabilities: Float[np.ndarray, "n K"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean over rows of the squared error summed over the classes, in [0, 2] (Brier 1950)."""
    p = _checked(probabilities, labels)
    # sum_k (p_k - y_k)^2 = sum_k p_k^2 - 2 p_y + 1
    return float((np.einsum("nk,nk->n", p, p) - 2 * _chosen(p, labels) + 1).mean())


def reliability(confidence: Float[np.ndarray, " n"], correct: Correct, *, bins: int = BINS) -> Reliability:
    """Equal-width bins [lo, hi) by floor(confidence * bins), the last one closed."""
    confidence = _checked_confidence(confidence, bins)
    cell = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return _table(np.linspace(0, 1, bins + 1), cell, confidence, correct.astype(np.float64), bins)


def reliability_equal_mass(confidence: Float[np.ndarray, " n"], correct: Correct, *, bins: int = BINS) -> Reliability:
    """Bins of equally many rows by rising confidence (sizes differ by one at most; n rows fill at most n bins).

    Rows of equal confidence share their mean correctness, so the order of rows does not matter where an edge parts
    them.
    """
    confidence = _checked_confidence(confidence, bins)
    bins = min(bins, len(confidence))
    order = np.argsort(confidence)
    ascending = confidence[order]
    _, block, size = np.unique(ascending, return_inverse=True, return_counts=True)
    shared = (np.bincount(block, weights=correct[order]) / size)[block]
    sizes = np.array([len(part) for part in np.array_split(order, bins)])
    cell = np.repeat(np.arange(bins), sizes)
    edges = np.concatenate((ascending[:1], ascending[np.cumsum(sizes) - 1]))
    return _table(edges, cell, ascending, shared, bins)


def ece(confidence: Float[np.ndarray, " n"], correct: Correct, *, bins: int = BINS) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015; Guo et al. 2017)."""
    return reliability(confidence, correct, bins=bins).ece()


def mce(confidence: Float[np.ndarray, " n"], correct: Correct, *, bins: int = BINS) -> float:
    """Largest gap between confidence and accuracy over equal-width bins."""
    return reliability(confidence, correct, bins=bins).mce()


def ece_equal_mass(confidence: Float[np.ndarray, " n"], correct: Correct, *, bins: int = BINS) -> float:
    """Expected calibration error over bins of equally many rows (adaptive ECE, Nguyen & O'Connor 2015)."""
    return reliability_equal_mass(confidence, correct, bins=bins).ece()


def ece_classwise(probabilities: Float[np.ndarray, "n K"], labels: Int[np.ndarray, " n"], *, bins: int = BINS) -> float:
    """Mean over the classes of the equal-width ECE of p_k against [label = k] (Kull et al., NeurIPS 2019)."""
    p = _checked(probabilities, labels)
    n, k = p.shape
    cell = np.minimum((p * bins).astype(np.int64), bins - 1) + bins * np.arange(k)
    excess = p.copy()
    excess[np.arange(n), labels] -= 1  # p_k - [label = k]; its sum over a bin is the bin's rows times its gap
    summed = np.bincount(cell.ravel(), weights=excess.ravel(), minlength=k * bins)
    return float(np.abs(summed).sum() / (n * k))


def smooth_ece(confidence: Float[np.ndarray, " n"], correct: Correct) -> float:
    """SmoothECE (Blasiok & Nakkiran, ICLR 2024): the residuals smoothed by a Gaussian whose width equals the error.

    With r(t) = mean_i (confidence_i - correct_i) K(t, confidence_i) and K the Gaussian of width s on [0, 1], reflected
    at both ends, the error at s is the integral of |r|; it falls as s grows, and the value is where it equals s. The
    kernel is applied in the cosine basis, where reflection is exact (the authors' relplot cuts it off at +-0.5).
    Widths below 0.001 are not told apart, as there.
    """
    confidence = _checked_confidence(confidence, 1)
    position = confidence * _GRID
    cell = np.minimum(position.astype(np.int64), _GRID - 1)
    upper = position - cell
    residual = (confidence - correct) / len(confidence)
    mass = np.bincount(cell, weights=residual * (1 - upper), minlength=_GRID + 1)
    mass += np.bincount(cell + 1, weights=residual * upper, minlength=_GRID + 1)
    density = mass * _GRID
    density[[0, -1]] *= 2  # a cell at the end is half as wide
    waves = dct(density, type=1)
    frequency = np.pi * np.arange(_GRID + 1)

    def error_at(width: float) -> float:
        smooth = np.abs(idct(waves * np.exp(-0.5 * (frequency * width) ** 2), type=1))
        return float((smooth.sum() - (smooth[0] + smooth[-1]) / 2) / _GRID)

    low, high = _SMALLEST_BANDWIDTH, 1.0
    if error_at(low) <= low:
        return error_at(low)
    for _ in range(40):  # the interval ends below 1e-12
        middle = (low + high) / 2
        if error_at(middle) > middle:
            low = middle
        else:
            high = middle
    return high


def _table(
    edges: Float[np.ndarray, " edges"],
    cell: Int[np.ndarray, " n"],
    confidence: Float[np.ndarray, " n"],
    correct: Float[np.ndarray, " n"],
    bins: int,
) -> Reliability:
    count = np.bincount(cell, minlength=bins)
    empty = np.full(bins, np.nan)
    filled = count > 0
    return Reliability(
        edges=edges,
        count=count,
        confidence=np.divide(
            np.bincount(cell, weights=confidence, minlength=bins), count, out=empty.copy(), where=filled
        ),
        accuracy=np.divide(np.bincount(cell, weights=correct, minlength=bins), count, out=empty, where=filled),
    )


def _chosen(table: Float[np.ndarray, "n K"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    chosen: np.ndarray = table[np.arange(len(labels)), labels]
    return chosen


def _checked(probabilities: Float[np.ndarray, "n K"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n K"]:
    """Probabilities in float64, refused unless each row is one."""
    p = probabilities.astype(np.float64)
    _check_labels(labels, p.shape)
    bad = ~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-3))  # 1e-3: what float16 rows miss by
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"probabilities: expected rows >= 0 that sum to 1, row {row} sums to {p[row].sum()}")
    return p


def _check_labels(labels: Int[np.ndarray, " n"], shape: tuple[int, ...]) -> None:
    n, k = shape
    if n == 0:
        raise ValueError("calibration needs at least one row, got none")
    bad = (labels < 0) | (labels >= k)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"labels: expected 0..{k - 1}, got {labels[row]} at row {row}")


def _checked_confidence(confidence: Float[np.ndarray, " n"], bins: int) -> Float[np.ndarray, " n"]:
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    if confidence.size == 0:
        raise ValueError("confidence: expected at least one row, got none")
    inside = (confidence >= 0) & (confidence <= 1)
    if not inside.all():
        row = int(np.flatnonzero(~inside)[0])
        raise ValueError(f"confidence: expected values in [0, 1], got {confidence[row]} at row {row}")
    return confidence.astype(np.float64)
