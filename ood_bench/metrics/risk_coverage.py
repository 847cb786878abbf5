"""The risk-coverage curve and the four finite-sample conventions of the area under it, each under its own name.

`confidence`: higher = more trustworthy. `correct`: True or 1 where the prediction is right; values between 0 and 1 are
allowed where a loss is graded (the residual is 1 - correct). Equal confidences are accepted together, since no
threshold can part them. Risks and coverages are in [0, 1] (fd-shifts prints areas times 1000).

With c_k = k / n and r_k = the mean residual of the k most confident rows:

* `aurc`: points at distinct confidences and (0, r of the first), joined linearly (fd-shifts). **The default**: it alone
  does not depend on the order of rows where confidences are equal.
* `aurc_trapezoid`: points (0, 0), (c_1, r_1), ..., (c_n, r_n), joined linearly (Cattelan & Silva, UAI 2024).
* `aurc_torch_uncertainty`: points (c_1, r_1), ..., (c_n, r_n), divided by 1 - 1/n (the library of that name).
* `aurc_mean`: the mean of r_k (Geifman et al., ICLR 2019).

The last three take equal confidences in the order of rows, so there they depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real

from ood_bench.metrics.shares import part_of

Correct = Bool[np.ndarray, " n"] | Real[np.ndarray, " n"]


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverageCurve:
    """Working points by rising coverage, one per distinct confidence: accept each row with confidence >= threshold."""

    threshold: Float[np.ndarray, " u"]
    accepted: Float[np.ndarray, " u"]  # rows, or their weight
    residual: Float[np.ndarray, " u"]  # summed over the accepted rows

    @property
    def total(self) -> float:
        return float(self.accepted[-1])

    @property
    def coverage(self) -> Float[np.ndarray, " u"]:
        share: np.ndarray = self.accepted / self.total
        return share

    @property
    def risk(self) -> Float[np.ndarray, " u"]:
        """Selective risk: mean residual of the accepted rows."""
        mean: np.ndarray = self.residual / self.accepted
        return mean

    @property
    def generalized_risk(self) -> Float[np.ndarray, " u"]:
        """Share of all rows that are accepted and wrong."""
        share: np.ndarray = self.residual / self.total
        return share

    def aurc(self) -> float:
        """Area under selective risk over coverage, ties merged; the first point's risk holds down to coverage 0."""
        risk = self.risk
        return _area(np.append(0.0, self.coverage), np.append(risk[0], risk))

    def augrc(self) -> float:
        """Area under the generalized risk over coverage, in [0, 1/2] (Traub et al., NeurIPS 2024)."""
        return _area(np.append(0.0, self.coverage), np.append(0.0, self.generalized_risk))

    def coverage_at_risk(self, risk: float) -> float:
        """The largest coverage whose selective risk is at most `risk`; 0 where no threshold reaches it.

        The search looks at every working point: that the most confident row is wrong does not end it.
        """
        allowed = np.flatnonzero(self.risk <= risk)
        return float(self.coverage[allowed[-1]]) if len(allowed) else 0.0

    def risk_at_coverage(self, coverage: float) -> float:
        """Selective risk at the highest threshold that accepts at least ceil(coverage * n) rows."""
        return float(self.risk[np.searchsorted(self.accepted, part_of(coverage, self.total))])


def risk_coverage_curve(
    confidence: Real[np.ndarray, " n"], correct: Correct, weight: Float[np.ndarray, " n"] | None = None
) -> RiskCoverageCurve:
    """The curve of one confidence; `weight` (positive) says how much a row counts. Raises ValueError on bad input."""
    order, residual = _by_confidence(confidence, correct)
    descending = confidence[order].astype(np.float64)
    ends = np.flatnonzero(np.concatenate((descending[1:] != descending[:-1], [True])))
    if weight is None:
        accepted = (ends + 1).astype(np.float64)
    else:
        if not (np.isfinite(weight) & (weight > 0)).all():
            raise ValueError("weights of a risk-coverage curve must be finite and > 0")
        accepted = np.cumsum(weight[order])[ends]
        residual = residual * weight[order]
    return RiskCoverageCurve(threshold=descending[ends], accepted=accepted, residual=np.cumsum(residual)[ends])


def aurc(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """Area under the risk-coverage curve, fd-shifts' convention: equal confidences merged, any order of rows."""
    return risk_coverage_curve(confidence, correct).aurc()


def aurc_trapezoid(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """Area under the risk-coverage curve of Cattelan & Silva: from (0, 0), row by row."""
    risk = _risk_by_row(confidence, correct)
    return float((risk.sum() - risk[-1] / 2) / len(risk))


def aurc_torch_uncertainty(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """Area under the risk-coverage curve of torch-uncertainty: from coverage 1/n, divided by 1 - 1/n, row by row."""
    risk = _risk_by_row(confidence, correct)
    if len(risk) < 2:
        raise ValueError("aurc_torch_uncertainty needs at least two rows (it divides by 1 - 1/n), got one")
    return float((risk.sum() - (risk[0] + risk[-1]) / 2) / (len(risk) - 1))


def aurc_mean(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """Mean of the selective risks at coverages 1/n, 2/n, ..., 1, row by row (Geifman et al.)."""
    return float(_risk_by_row(confidence, correct).mean())


def augrc(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """Area under the generalized risk-coverage curve: the mean risk of an accepted error over all thresholds."""
    return risk_coverage_curve(confidence, correct).augrc()


def coverage_at_risk(confidence: Real[np.ndarray, " n"], correct: Correct, risk: float) -> float:
    """The largest coverage whose selective risk is at most `risk`; 0 where no threshold reaches it."""
    return risk_coverage_curve(confidence, correct).coverage_at_risk(risk)


def risk_at_coverage(confidence: Real[np.ndarray, " n"], correct: Correct, coverage: float) -> float:
    """Selective risk of the ceil(coverage * n) most confident rows, and of those as confident as the last of them."""
    return risk_coverage_curve(confidence, correct).risk_at_coverage(coverage)


def _area(x: Float[np.ndarray, " p"], y: Float[np.ndarray, " p"]) -> float:
    return float(np.dot(np.diff(x), y[1:] + y[:-1]) / 2)


def _risk_by_row(confidence: Real[np.ndarray, " n"], correct: Correct) -> Float[np.ndarray, " n"]:
    _, residual = _by_confidence(confidence, correct)
    return np.cumsum(residual) / np.arange(1, len(residual) + 1)


def _by_confidence(confidence: Real[np.ndarray, " n"], correct: Correct) -> tuple[np.ndarray, Float[np.ndarray, " n"]]:
    """Rows by falling confidence, equal ones in the order given, and their residuals; input checked."""
    if confidence.size == 0:
        raise ValueError("confidence: expected at least one row, got none")
    if not np.isfinite(confidence).all():
        row = int(np.flatnonzero(~np.isfinite(confidence))[0])
        raise ValueError(f"confidence: expected finite values, got {confidence[row]} at row {row}")
    right = correct.astype(np.float64)
    inside = (right >= 0) & (right <= 1)  # NaN is in neither
    if not inside.all():
        row = int(np.flatnonzero(~inside)[0])
        raise ValueError(f"correct: expected values in [0, 1], got {correct[row]} at row {row}")
    order = np.argsort(-confidence.astype(np.float64), kind="stable")
    return order, 1 - right[order]
