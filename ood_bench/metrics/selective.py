"""Selective prediction in one value: does a confidence rank wrong predictions below right ones?

Excess areas compare with the best ranking of the same predictions. Failure metrics are the OOD metrics with right
predictions in the place of ID and wrong ones in the place of OOD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Real

from ood_bench.metrics.ood import OodMetrics, ood_metrics
from ood_bench.metrics.risk_coverage import (
    Correct,
    aurc,
    aurc_mean,
    aurc_torch_uncertainty,
    aurc_trapezoid,
    risk_coverage_curve,
)


@dataclass(frozen=True, slots=True)
class SelectiveMetrics:
    """One confidence on one labelled set; None where a value does not exist (nothing is wrong, nothing is right)."""

    n: int
    accuracy: float
    aurc: float  # fd-shifts' convention: ties merged
    aurc_trapezoid: float
    aurc_torch_uncertainty: float | None  # needs two rows
    aurc_mean: float
    eaurc: float
    naurc: float | None
    augrc: float
    eaugrc: float
    failure_auroc: float | None
    failure_aupr_error: float | None  # average precision, errors positive
    failure_aupr_success: float | None  # average precision, right predictions positive
    failure_fpr95: float | None  # share of right predictions rejected where >= 95 % of errors are
    coverage_at_5_risk: float
    risk_at_80_coverage: float


def selective_metrics(confidence: Real[np.ndarray, " n"], correct: Correct) -> SelectiveMetrics:
    """Every selective-prediction metric; those named failure_* are None for graded losses too."""
    curve = risk_coverage_curve(confidence, correct)
    area, best, error = curve.aurc(), optimal_aurc(correct), float(1 - np.mean(correct))
    generalized = curve.augrc()
    failure = failure_metrics(confidence, correct) if _is_binary(correct) and 0 < error < 1 else None
    return SelectiveMetrics(
        n=len(confidence),
        accuracy=float(np.mean(correct)),
        aurc=area,
        aurc_trapezoid=aurc_trapezoid(confidence, correct),
        aurc_torch_uncertainty=aurc_torch_uncertainty(confidence, correct) if len(confidence) > 1 else None,
        aurc_mean=aurc_mean(confidence, correct),
        eaurc=area - best,
        naurc=(area - best) / (error - best) if 0 < error < 1 and error > best else None,
        augrc=generalized,
        eaugrc=generalized - optimal_augrc(correct),
        failure_auroc=failure.auroc if failure else None,
        failure_aupr_error=failure.aupr_out if failure else None,
        failure_aupr_success=failure.aupr_in if failure else None,
        failure_fpr95=failure.fpr95_ood_positive if failure else None,
        coverage_at_5_risk=curve.coverage_at_risk(0.05),
        risk_at_80_coverage=curve.risk_at_coverage(0.80),
    )


def failure_metrics(confidence: Real[np.ndarray, " n"], correct: Correct) -> OodMetrics:
    """Detection of wrong predictions: "in" is right, "out" is wrong.

    `fpr95_ood_positive` is the field's failure FPR95: the share of right predictions rejected at the lowest threshold
    that rejects at least 95 % of the errors.
    """
    if not _is_binary(correct):
        raise ValueError("failure detection needs predictions that are right or wrong, got graded values of `correct`")
    right = correct.astype(bool)
    if right.all() or not right.any():
        raise ValueError(
            f"failure detection needs right and wrong predictions, got {right.sum()} right of {right.size}"
        )
    return ood_metrics(confidence[right], confidence[~right])


def failure_auroc(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """Chance that a right prediction is more confident than a wrong one, ties counting one half."""
    return failure_metrics(confidence, correct).auroc


def failure_fpr95(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """Share of right predictions rejected at the lowest threshold that rejects at least 95 % of the errors."""
    return failure_metrics(confidence, correct).fpr95_ood_positive


def eaurc(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """AURC above the best possible for these predictions.

    It may fall a little below 0: the best is a limit for many rows, and merged ties are joined linearly (as fd-shifts).
    """
    return aurc(confidence, correct) - optimal_aurc(correct)


def naurc(confidence: Real[np.ndarray, " n"], correct: Correct) -> float:
    """E-AURC over that of a random order: 0 is the best ranking, 1 a random one (Cattelan & Silva 2024, eq. 6).

    Area and optimum are this module's defaults; the authors' code takes `aurc_trapezoid` for both.
    """
    error, best = float(1 - np.mean(correct)), optimal_aurc(correct)
    if not 0 < error < 1 or error <= best:
        raise ValueError(f"NAURC needs residuals that differ between rows, got a mean residual of {error}")
    return (aurc(confidence, correct) - best) / (error - best)


def optimal_aurc(correct: Correct) -> float:
    """The smallest AURC of these predictions: err + (1 - err) ln(1 - err), or that of graded losses sorted."""
    if _is_binary(correct):
        error = float(1 - np.mean(correct))
        return 1.0 if error == 1 else error + (1 - error) * math.log1p(-error)
    return risk_coverage_curve(*_best_ranking(correct)).aurc()


def optimal_augrc(correct: Correct) -> float:
    """The smallest AUGRC of these predictions: err^2 / 2; for graded losses that of the sorted ones."""
    if _is_binary(correct):
        return float(1 - np.mean(correct)) ** 2 / 2
    return risk_coverage_curve(*_best_ranking(correct)).augrc()


def _best_ranking(correct: Correct) -> tuple[Real[np.ndarray, " n"], Correct]:
    """Distinct confidences that put the smallest residual first."""
    return np.arange(len(correct)), np.sort(correct)


def _is_binary(correct: Correct) -> bool:
    return bool(((correct == 0) | (correct == 1)).all())
