from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from ood_bench.metrics.calibration import (
    brier,
    ece,
    ece_classwise,
    ece_equal_mass,
    mce,
    nll,
    nll_of_logits,
    reliability,
    reliability_equal_mass,
    smooth_ece,
)

GENERATOR = np.random.default_rng(2)
LOGITS = GENERATOR.normal(0, 2, (400, 5))
PROBABILITIES = softmax(LOGITS, axis=1)
LABELS = GENERATOR.integers(0, 5, 400)


def drawn(n: int, power: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences uniform in [0, 1], right with probability confidence**power."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0, 1, n)
    return confidence, generator.uniform(size=n) < confidence**power


def test_golden_cases(shared: Path) -> None:
    first, second, _ = json.loads((shared / "golden" / "metric_cases.json").read_text())["selective"]
    confidence, correct = np.array(first["conf"]), np.array(first["correct"])
    assert ece(confidence, correct, bins=10) == pytest.approx(first["ece10_TU"], abs=1e-12)
    assert ece(confidence, correct) == pytest.approx(first["ece15_TU_and_Galil"], abs=1e-12)
    assert mce(confidence, correct) == pytest.approx(first["mce15"], abs=1e-12)
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 1000)
    correct = generator.uniform(size=1000) < confidence
    assert ece(confidence, correct, bins=10) == pytest.approx(second["ece10_TU"], abs=2e-7)  # float32 over there
    assert ece(confidence, correct) == pytest.approx(second["ece15"], abs=2e-7)
    assert mce(confidence, correct) == pytest.approx(second["mce15"], abs=2e-7)
    assert ece_equal_mass(confidence, correct) == pytest.approx(second["aece15_TU"], abs=2e-7)


def test_brier_of_the_golden_case(shared: Path) -> None:
    case = json.loads((shared / "golden" / "metric_cases.json").read_text())["selective"][0]
    confidence = np.array(case["conf"])
    both = np.stack([1 - confidence, confidence], axis=1)
    # theirs was computed from logits in float32 and prints 0.42251998
    assert brier(both, np.array(case["correct"])) == pytest.approx(case["brier_sum_TU"], abs=1e-7)


def test_proper_scores() -> None:
    assert nll(PROBABILITIES, LABELS) == pytest.approx(log_loss(LABELS, PROBABILITIES), abs=1e-12)
    assert nll_of_logits(LOGITS, LABELS) == pytest.approx(log_loss(LABELS, PROBABILITIES), abs=1e-12)
    whole = ((PROBABILITIES - np.eye(5)[LABELS]) ** 2).sum(axis=1).mean()
    assert brier(PROBABILITIES, LABELS) == pytest.approx(whole, abs=1e-12)


def test_a_label_of_probability_zero() -> None:
    certain = np.array([[1.0, 0.0]])
    assert nll(certain, np.array([1])) == np.inf
    assert nll_of_logits(np.array([[2000.0, 0.0]]), np.array([1])) == 2000


def test_bins_are_closed_below_and_the_last_on_both_sides() -> None:
    table = reliability(np.array([0.0, 0.2, 0.4, 0.5, 1.0]), np.array([0, 1, 1, 0, 1]), bins=5)
    assert table.count.tolist() == [1, 1, 2, 0, 1]
    assert table.accuracy[[0, 1, 2, 4]].tolist() == [0, 1, 0.5, 1]
    assert np.isnan(table.accuracy[3])
    assert table.gap[3] == 0
    assert table.ece() == pytest.approx((0 + 0.8 + 2 * 0.05 + 0) / 5)
    assert table.mce() == pytest.approx(0.8)


def test_equal_mass_bins_hold_equally_many_rows_in_any_order() -> None:
    confidence, correct = drawn(103, 2, 4)
    confidence = confidence.round(1)  # many ties, cut by the edges
    table = reliability_equal_mass(confidence, correct, bins=10)
    assert sorted(table.count.tolist()) == [10] * 7 + [11] * 3
    rows = np.random.default_rng(0).permutation(103)
    assert ece_equal_mass(confidence[rows], correct[rows], bins=10) == pytest.approx(table.ece(), abs=1e-12)
    assert len(reliability_equal_mass(confidence[:4], correct[:4]).count) == 4


def test_classwise_is_the_mean_of_binary_errors() -> None:
    binary = [ece(PROBABILITIES[:, k], k == LABELS) for k in range(5)]
    assert ece_classwise(PROBABILITIES, LABELS) == pytest.approx(np.mean(binary), abs=1e-12)


def reflected_kernel_error(confidence: np.ndarray, correct: np.ndarray, width: float) -> float:
    """The smoothed error at a width, by images of each point beyond both ends and a sum over a grid of midpoints."""
    t = (np.arange(2000) + 0.5) / 2000
    smoothed = np.zeros_like(t)
    for shift in range(-8, 9, 2):
        for sign in (1, -1):
            gap = t[:, None] - (shift + sign * confidence[None, :])
            kernel = np.exp(-0.5 * (gap / width) ** 2) / (width * np.sqrt(2 * np.pi))
            smoothed += kernel @ (confidence - correct) / len(confidence)
    return float(np.abs(smoothed).mean())


@pytest.mark.parametrize(("power", "seed"), [(1.0, 0), (1.5, 1), (3.0, 2)])
def test_smooth_ece_is_the_fixed_point(power: float, seed: int) -> None:
    confidence, correct = drawn(300, power, seed)
    found = smooth_ece(confidence, correct)
    assert reflected_kernel_error(confidence, correct, found) == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize(
    ("n", "power", "seed", "relplot"),
    [(200, 1.0, 0, 0.04759726), (2000, 1.5, 1, 0.09557063), (20_000, 2.0, 2, 0.16577130)],
)
def test_smooth_ece_against_the_authors_package(n: int, power: float, seed: int, relplot: float) -> None:
    # values printed by relplot's smECE with its reflected Gaussian kernel, whose width is bisected to 1/1024
    assert smooth_ece(*drawn(n, power, seed)) == pytest.approx(relplot, abs=1e-3)


def test_smooth_ece_at_the_extremes() -> None:
    assert smooth_ece(np.zeros(10), np.ones(10, dtype=bool)) == pytest.approx(1, abs=1e-9)
    assert smooth_ece(np.full(10, 0.5), np.arange(10) % 2) == pytest.approx(0, abs=1e-12)


def test_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match=r"row 1 sums to 0\.9"):
        nll(np.array([[0.5, 0.5], [0.5, 0.4]]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"labels: expected 0..1, got 2 at row 0"):
        brier(np.array([[0.5, 0.5]]), np.array([2]))
    with pytest.raises(ValueError, match="logits: expected finite"):
        nll_of_logits(np.array([[np.nan, 0.5]]), np.array([1]))
    with pytest.raises(ValueError, match=r"confidence: expected values in \[0, 1\], got nan at row 1"):
        ece(np.array([0.5, np.nan]), np.array([0, 1]))
    with pytest.raises(ValueError, match="at least one row"):
        smooth_ece(np.array([]), np.array([], dtype=bool))
    with pytest.raises(ValueError, match="at least one bin, got 0"):
        ece(np.array([0.5]), np.array([1]), bins=0)
