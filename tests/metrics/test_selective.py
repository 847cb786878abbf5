from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import average_precision_score

from ood_bench.metrics import risk_coverage as rc
from ood_bench.metrics.selective import (
    SelectiveMetrics,
    eaurc,
    failure_auroc,
    failure_fpr95,
    failure_metrics,
    naurc,
    optimal_augrc,
    selective_metrics,
)

N = 100
ROWS = np.arange(N)
ASCENDING = np.linspace(0.0, 1.0, N)
PLATEAUS = np.repeat([0.2, 0.4, 0.6, 0.8], N // 4)
ODD, EVEN, CONSTANT = ROWS % 2, (ROWS + 1) % 2, np.full(N, 0.3)

# confidence, correct, AURC, E-AURC, AUGRC; from fd-shifts, fd_shifts/tests/utils.py, RC_STATS_TEST_CASES (scale 1)
FD_SHIFTS = {
    "constant, all right": (CONSTANT, np.ones(N), 0.0, 0.0, 0.0),
    "constant, all wrong": (CONSTANT, np.zeros(N), 1.0, 0.0, 0.5),
    "constant, alternating": (CONSTANT, ODD, 0.5, 0.3465735902799724, 0.25),
    "constant, graded": (CONSTANT, ASCENDING, 0.5, 0.2524999999999986, 0.25),
    "constant, plateaus": (CONSTANT, PLATEAUS, 0.5, 0.1817914679883058, 0.25),
    "perfect, two values": (ODD, ODD, 0.125, -0.02842640972002758, 0.125),
    "two values, graded": (ODD, ASCENDING, 0.49621212121212127, 0.24871212121211994, 0.24873737373737373),
    "inverted, two values": (EVEN, ODD, 0.875, 0.7215735902799725, 0.375),
    "inverted, graded": (EVEN, ASCENDING, 0.503787878787879, 0.2562878787878777, 0.25126262626262635),
    "ascending, alternating": (ASCENDING, ODD, 0.48281112575762547, 0.3293847160375979, 0.2475),
    "unnormalised, alternating": (ROWS - 50, ODD, 0.48281112575762547, 0.3293847160375979, 0.2475),
    "ascending, graded": (ASCENDING, ASCENDING, 0.24750000000000133, 0.0, 0.16583333333333353),
    "ascending, plateaus": (ASCENDING, PLATEAUS, 0.3182085320116945, 0.0, 0.18750000000000108),
    "plateaus, alternating": (PLATEAUS, ODD, 0.49083333333333334, 0.33740692361330576, 0.2475),
    "plateaus, graded": (PLATEAUS, ASCENDING, 0.2632575757575754, 0.015757575757574083, 0.17108585858585845),
    "plateaus, plateaus": (PLATEAUS, PLATEAUS, 0.31250000000000255, -0.005708532011691969, 0.18750000000000097),
}


@pytest.mark.parametrize("case", FD_SHIFTS)
def test_fd_shifts_values(case: str) -> None:
    confidence, correct, area, excess, generalized = FD_SHIFTS[case]
    found = selective_metrics(confidence, correct)
    # their optimum adds an epsilon inside the logarithm, and their sums run in another order
    assert (found.aurc, found.eaurc, found.augrc) == pytest.approx((area, excess, generalized), abs=1e-12)


GOLDEN_NAMES = {
    "acc": "accuracy",
    "aurc_mean_over_k(Geifman/Galil)": "aurc_mean",
    "aurc_mean_over_k": "aurc_mean",
    "aurc_mean_over_k_stable_sort": "aurc_mean",
    "aurc_fdshifts": "aurc",
    "aurc_fdshifts(tie aware)": "aurc",
    "aurc_torch_uncertainty": "aurc_torch_uncertainty",
    "augrc_fdshifts": "augrc",
    "augrc_fdshifts(tie aware)": "augrc",
    "eaurc_fdshifts": "eaurc",
    "eaugrc_fdshifts": "eaugrc",
    "failure_auroc": "failure_auroc",
}
NOT_BINDING = {("S3 ties", "aurc_torch_uncertainty")}  # depends on that library's own sort


def inputs_of(case: dict) -> tuple[np.ndarray, np.ndarray]:
    if case["name"] == "S1":
        return np.array(case["conf"]), np.array(case["correct"])
    if case["name"] == "S2":
        generator = np.random.default_rng(0)
        confidence = generator.uniform(0.5, 1, 1000)
        return confidence, generator.uniform(size=1000) < confidence
    assert case["name"] == "S3 ties"
    return np.repeat([0.6, 0.7, 0.8, 0.9], 25), np.arange(100) % 2


def test_golden_cases(shared: Path) -> None:
    cases = json.loads((shared / "golden" / "metric_cases.json").read_text())["selective"]
    compared = 0
    for case in cases:
        found = selective_metrics(*inputs_of(case))
        for theirs, ours in GOLDEN_NAMES.items():
            if theirs in case and (case["name"], theirs) not in NOT_BINDING:
                compared += 1
                # printed with eight digits at least
                assert getattr(found, ours) == pytest.approx(case[theirs], abs=6e-9), (case["name"], theirs)
    assert compared == 7 + 8 + 3


def test_mnist_error_detection_as_published(shared: Path) -> None:
    """Hendrycks & Gimpel's baseline, published_results.txt: error 0.94, FPR95 6.56, AUROC 98.45, AUPR 35.47 percent."""
    with np.load(shared / "data" / "mnist-oe-baseline" / "test.npz", allow_pickle=False) as bank:
        logits, labels = bank["logits"].astype(np.float64), bank["labels"]
    confidence, correct = softmax(logits, axis=1).max(axis=1), logits.argmax(axis=1) == labels
    found = selective_metrics(confidence, correct)
    assert f"{100 * (1 - found.accuracy):.2f}" == "0.94"
    assert found.failure_fpr95 is not None
    assert found.failure_auroc is not None
    assert f"{100 * found.failure_auroc:.2f}" == "98.45"
    assert f"{100 * found.failure_fpr95:.2f}" == "6.56"
    assert found.failure_aupr_error is not None
    assert f"{100 * found.failure_aupr_error:.2f}" == "35.47"


def test_failure_detection_of_fd_shifts() -> None:
    # fd_shifts/tests/test_analysis.py, confidence ascending, correctness alternating
    assert failure_metrics(ROWS - 50, ODD).aupr_out == pytest.approx(0.5293777484847491, abs=1e-12)
    assert failure_fpr95(ROWS - 50, ODD) == 0.94


confidences = st.lists(st.integers(0, 5), min_size=2, max_size=30)


@given(confidences, st.randoms(use_true_random=False))
def test_augrc_identity_and_order_of_rows(values: list[int], random) -> None:
    confidence = np.array(values) / 5
    correct = np.array([random.random() < 0.6 for _ in values])
    correct[:2] = True, False
    found = selective_metrics(confidence, correct)
    accuracy, error = found.accuracy, 1 - found.accuracy
    assert found.failure_auroc is not None
    assert found.augrc == pytest.approx((1 - found.failure_auroc) * accuracy * error + error**2 / 2, abs=1e-12)
    rows = np.array(random.sample(range(len(values)), len(values)))
    # the row-by-row conventions may differ here; these may not
    shuffled = selective_metrics(confidence[rows], correct[rows])
    for name in ("aurc", "augrc", "eaurc", "failure_auroc", "coverage_at_5_risk", "risk_at_80_coverage"):
        assert getattr(shuffled, name) == pytest.approx(getattr(found, name), abs=1e-12), name


def test_conventions_against_their_definitions() -> None:
    generator = np.random.default_rng(3)
    confidence, correct = generator.permutation(50), generator.uniform(size=50) < 0.7
    residual = 1 - correct[np.argsort(-confidence)].astype(float)
    risk = [residual[:k].mean() for k in range(1, 51)]
    coverage = [k / 50 for k in range(1, 51)]
    assert rc.aurc_mean(confidence, correct) == pytest.approx(np.mean(risk))
    assert rc.aurc_trapezoid(confidence, correct) == pytest.approx(trapezoid([0, *coverage], [0, *risk]))
    assert rc.aurc(confidence, correct) == pytest.approx(trapezoid([0, *coverage], [risk[0], *risk]))
    assert rc.aurc_torch_uncertainty(confidence, correct) == pytest.approx(trapezoid(coverage, risk) / (1 - 1 / 50))
    assert rc.augrc(confidence, correct) == pytest.approx(
        trapezoid([0, *coverage], [0, *(np.array(risk) * np.array(coverage))])
    )


def trapezoid(x: list[float], y: list[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i + 1] + y[i]) / 2 for i in range(len(x) - 1))


def test_operating_points_when_the_most_confident_row_is_wrong() -> None:
    confidence, correct = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0, 1, 1, 1, 0])
    assert rc.coverage_at_risk(confidence, correct, 0.25) == 0.8
    assert rc.coverage_at_risk(confidence, correct, 0.3) == 0.8
    assert rc.coverage_at_risk(confidence, correct, 0.24) == 0
    assert rc.risk_at_coverage(confidence, correct, 0.2) == 1
    assert rc.risk_at_coverage(confidence, correct, 0.21) == 0.5  # ceil(0.21 * 5) = 2 rows
    assert rc.risk_at_coverage(confidence, correct, 1.0) == 0.4


def test_operating_points_take_ties_whole() -> None:
    confidence, correct = np.array([0.9, 0.8, 0.8, 0.1]), np.array([1, 1, 0, 0])
    assert rc.risk_at_coverage(confidence, correct, 0.5) == pytest.approx(1 / 3)
    assert rc.coverage_at_risk(confidence, correct, 0.0) == 0.25


@pytest.mark.parametrize("n", [7, 20, 100, 1000])
def test_coverage_is_counted_in_whole_rows(n: int) -> None:
    correct = np.arange(n) > n // 2
    for percent in (5, 29, 57, 80, 95):
        rows = -(-percent * n // 100)
        found = rc.risk_at_coverage(np.arange(n), correct, percent / 100)
        assert found == pytest.approx(1 - correct[n - rows :].mean(), abs=1e-12)


def test_what_does_not_exist_is_none() -> None:
    fine = selective_metrics(np.arange(4), np.ones(4, dtype=bool))
    assert (fine.accuracy, fine.aurc, fine.augrc, fine.coverage_at_5_risk) == (1, 0, 0, 1)
    assert fine.failure_auroc is fine.failure_fpr95 is fine.naurc is fine.failure_aupr_error is None
    wrong = selective_metrics(np.arange(4), np.zeros(4, dtype=bool))
    assert (wrong.aurc, wrong.eaurc, wrong.augrc, wrong.coverage_at_5_risk, wrong.naurc) == (1, 0, 0.5, 0, None)
    alone = selective_metrics(np.array([0.5]), np.array([True]))
    assert alone.aurc_torch_uncertainty is None
    with pytest.raises(ValueError, match="needs right and wrong predictions, got 4 right of 4"):
        failure_auroc(np.arange(4), np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="right or wrong, got graded"):
        failure_auroc(np.arange(4), np.array([0.1, 0.5, 1, 1]))
    with pytest.raises(ValueError, match="needs at least two rows"):
        rc.aurc_torch_uncertainty(np.array([0.5]), np.array([True]))


def test_excess_areas_mark_the_best_and_the_random_ranking() -> None:
    n = 20_000
    correct = np.arange(n) >= n // 4
    assert naurc(np.arange(n), correct) == pytest.approx(0, abs=1e-3)
    assert eaurc(np.arange(n), correct) == pytest.approx(0, abs=1e-3)
    assert naurc(np.zeros(n), correct) == pytest.approx(1, abs=1e-12)
    assert rc.augrc(np.arange(n), correct) == pytest.approx(optimal_augrc(correct), abs=1e-12)
    with pytest.raises(ValueError, match="NAURC needs residuals that differ"):
        naurc(np.arange(3), np.ones(3))


def test_failure_aupr_against_scikit_learn() -> None:
    generator = np.random.default_rng(5)
    confidence = generator.uniform(size=400).round(2)
    correct = generator.uniform(size=400) < confidence
    found: SelectiveMetrics = selective_metrics(confidence, correct)
    assert found.failure_aupr_error == pytest.approx(average_precision_score(~correct, -confidence), abs=1e-12)
    assert found.failure_aupr_success == pytest.approx(average_precision_score(correct, confidence), abs=1e-12)


def test_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="confidence: expected at least one row"):
        rc.aurc(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="confidence: expected finite values, got nan at row 1"):
        rc.aurc(np.array([0.1, np.nan]), np.array([1, 0]))
    with pytest.raises(ValueError, match=r"correct: expected values in \[0, 1\], got -1 at row 0"):
        rc.aurc(np.array([0.1, 0.2]), np.array([-1, 0]))
    with pytest.raises(ValueError, match="finite and > 0"):
        rc.risk_coverage_curve(np.array([0.1, 0.2]), np.array([1, 0]), np.array([1.0, 0.0]))
