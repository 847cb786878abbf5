"""One threshold against two faults: OOD inputs and wrong predictions on ID inputs (SCOD), and the open-set curve.

Every confidence is higher = more trustworthy; `id_correct` says which ID rows are classified rightly. An accepted row
is one with confidence >= threshold, and equal confidences stand on the same side of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real

from ood_bench.metrics.ood import OodMetrics, SortedScores, auroc, ood_metrics
from ood_bench.metrics.risk_coverage import RiskCoverageCurve, risk_coverage_curve
from ood_bench.metrics.shares import rows_at_most

CCR_RATES = (1e-4, 1e-3, 1e-2, 1e-1)  # the false positive rates at which OpenOOD v1 printed CCR


@dataclass(frozen=True, slots=True)
class ScodMetrics:
    """Right ID rows against wrong ID rows and OOD rows together."""

    auroc: float
    fpr95_correct_positive: float  # share of the wrong-or-OOD accepted where >= 95 % of the right are kept
    fpr95_error_positive: float  # share of the right rejected where >= 95 % of the wrong-or-OOD are caught
    aupr_success: float  # average precision, right ID rows positive
    aupr_error: float  # average precision, wrong-or-OOD positive
    aurc: float
    augrc: float
    ood_weight: float  # of an OOD row in aurc and augrc, that of an ID row being 1


def scod_metrics(
    id_confidence: Real[np.ndarray, " n"],
    id_correct: Bool[np.ndarray, " n"],
    ood_confidence: Real[np.ndarray, " m"],
    *,
    ood_weight: float = 1.0,
) -> ScodMetrics:
    """Selective classification in the presence of OOD (Xia & Bouganis, ACCV 2022; Jaeger et al., ICLR 2023).

    Ranking metrics count every row once. Raises ValueError where no ID row is right.
    """
    if not id_correct.any():
        raise ValueError("SCOD needs at least one ID row that is classified rightly, got none")
    rejectable = np.concatenate((id_confidence[~id_correct], ood_confidence))
    ranking: OodMetrics = ood_metrics(id_confidence[id_correct], rejectable)
    curve = scod_curve(id_confidence, id_correct, ood_confidence, ood_weight=ood_weight)
    return ScodMetrics(
        auroc=ranking.auroc,
        fpr95_correct_positive=ranking.fpr95_id_positive,
        fpr95_error_positive=ranking.fpr95_ood_positive,
        aupr_success=ranking.aupr_in,
        aupr_error=ranking.aupr_out,
        aurc=curve.aurc(),
        augrc=curve.augrc(),
        ood_weight=ood_weight,
    )


def scod_curve(
    id_confidence: Real[np.ndarray, " n"],
    id_correct: Bool[np.ndarray, " n"],
    ood_confidence: Real[np.ndarray, " m"],
    *,
    ood_weight: float = 1.0,
) -> RiskCoverageCurve:
    """The risk-coverage curve of ID and OOD rows together: risk = weight of accepted faults / weight of accepted rows.

    An accepted OOD row is always a fault. It counts `ood_weight` times an ID row in risk and coverage alike;
    `ood_weight = n_id / n_ood` is a stream that is half OOD (alpha = 0.5 of Xia & Bouganis).
    """
    if ood_confidence.size == 0:
        raise ValueError("SCOD needs at least one OOD row, got none")
    confidence = np.concatenate((id_confidence, ood_confidence))
    correct = np.concatenate((id_correct, np.zeros(len(ood_confidence), dtype=bool)))
    weight = np.concatenate((np.ones(len(id_confidence)), np.full(len(ood_confidence), float(ood_weight))))
    return risk_coverage_curve(confidence, correct, weight)


@dataclass(frozen=True, slots=True, eq=False)
class OpenSetCurve:
    """CCR against FPR by falling threshold, from (0, 0) to (1, accuracy) (Dhamija et al., NeurIPS 2018)."""

    fpr: Float[np.ndarray, " p"]  # share of OOD rows accepted
    ccr: Float[np.ndarray, " p"]  # share of ID rows accepted and classified rightly


def oscr_curve(
    id_confidence: Real[np.ndarray, " n"], id_correct: Bool[np.ndarray, " n"], ood_confidence: Real[np.ndarray, " m"]
) -> OpenSetCurve:
    """The open-set classification curve, one point per distinct confidence."""
    outside = SortedScores(ood_confidence, "OOD confidence")
    SortedScores(id_confidence, "ID confidence")  # refuses NaN
    right = np.sort(id_confidence[id_correct])
    thresholds = np.unique(np.concatenate((right, outside.distinct)))[::-1]
    accepted = outside.n - outside.below[np.searchsorted(outside.distinct, thresholds)]
    caught = len(right) - np.searchsorted(right, thresholds)
    return OpenSetCurve(
        fpr=np.append(0.0, accepted / outside.n),
        ccr=np.append(0.0, caught / len(id_confidence)),
    )


def oscr(
    id_confidence: Real[np.ndarray, " n"], id_correct: Bool[np.ndarray, " n"], ood_confidence: Real[np.ndarray, " m"]
) -> float:
    """Area under `oscr_curve`: the ID accuracy times the AUROC of right ID rows against OOD rows, ties one half."""
    right = int(np.count_nonzero(id_correct))
    SortedScores(id_confidence, "ID confidence")  # refuses NaN and an empty set
    if right == 0:
        return 0.0  # the curve lies on the axis
    return right / len(id_correct) * auroc(id_confidence[id_correct], ood_confidence)


def ccr_at_fpr(
    id_confidence: Real[np.ndarray, " n"],
    id_correct: Bool[np.ndarray, " n"],
    ood_confidence: Real[np.ndarray, " m"],
    fpr: float,
) -> float:
    """Share of ID rows accepted and classified rightly, accepting no more than `fpr` of the OOD rows.

    Rows above the (k + 1)-th largest OOD confidence are accepted, k = floor(fpr * m). OpenOOD v1 takes the
    ceil(fpr * m)-th largest: the same unless fpr * m is whole, where it accepts one OOD row fewer.
    """
    outside = SortedScores(ood_confidence, "OOD confidence")
    SortedScores(id_confidence, "ID confidence")
    allowed = rows_at_most(fpr, outside.n)
    if allowed == outside.n:
        return float(np.mean(id_correct))
    threshold = outside.nth_smallest(outside.n - allowed)
    return float(np.count_nonzero(id_correct & (id_confidence > threshold)) / len(id_correct))
