from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ood_bench.metrics.ood import (
    OodMetrics,
    SortedScores,
    auroc,
    fpr_at_tpr,
    id_accuracy,
    mean_metrics,
    ood_metrics,
    threshold_at_tpr,
)

GOLDEN_NAMES = {
    "auroc": "auroc",
    "fpr95_ood_positive": "fpr95_ood_positive",
    "fpr95_id_positive": "fpr95_id_positive",
    "aupr_out_trapz": "aupr_out_trapezoid",
    "ap_out": "aupr_out",
    "aupr_in_trapz": "aupr_in_trapezoid",
    "ap_in": "aupr_in",
}


def recipe(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The sets that the golden file describes in words."""
    if name == "T3":
        generator = np.random.default_rng(0)
        return generator.normal(0, 1, 2000), generator.normal(1.5, 1, 1000)
    return {
        "T4 paired ties": (np.arange(100), np.arange(100)),
        "T5 constant": (np.zeros(50), np.zeros(50)),
    }[name]


def test_golden_cases(shared: Path) -> None:
    cases = json.loads((shared / "golden" / "metric_cases.json").read_text())["ood_metrics"]
    assert [case["name"] for case in cases] == ["T1", "T2 ties", "T3", "T4 paired ties", "T5 constant"]
    compared = 0
    for case in cases:
        if isinstance(case["id"], str):
            inside, outside = recipe(case["name"])
        else:
            inside, outside = np.array(case["id"], dtype=float), np.array(case["ood"], dtype=float)
        found = asdict(ood_metrics(-inside, -outside))  # the file's score is higher for OOD
        for theirs, ours in GOLDEN_NAMES.items():
            if theirs in case["exact"]:
                compared += 1
                # the file prints six digits
                assert found[ours] == pytest.approx(case["exact"][theirs], abs=6e-7), (case["name"], ours)
    assert compared == 7 * 3 + 2 + 2


def naive(inside: np.ndarray, outside: np.ndarray) -> OodMetrics:
    """The definitions, written with loops over thresholds and pairs."""
    n, m = len(inside), len(outside)
    pairs = (inside[:, None] > outside[None, :]) + 0.5 * (inside[:, None] == outside[None, :])
    values = np.unique(np.concatenate((inside, outside)))
    keeps = [t for t in values if 100 * (inside >= t).sum() >= 95 * n]
    catches = [t for t in values if 100 * (outside <= t).sum() >= 95 * m]

    def precision_recall(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
        average = trapezoid = 0.0
        recall, precision = 0.0, 1.0
        for t in np.unique(np.concatenate((positive, negative)))[::-1]:
            true, false = (positive >= t).sum(), (negative >= t).sum()
            step = true / len(positive) - recall
            average += step * true / (true + false)
            trapezoid += step * (true / (true + false) + precision) / 2
            recall, precision = true / len(positive), true / (true + false)
        return average, trapezoid

    into, out = precision_recall(inside, outside), precision_recall(-outside, -inside)
    return OodMetrics(
        auroc=pairs.mean(),
        fpr95_id_positive=(outside >= max(keeps)).mean(),
        fpr95_ood_positive=(inside <= min(catches)).mean(),
        aupr_in=into[0],
        aupr_out=out[0],
        aupr_in_trapezoid=into[1],
        aupr_out_trapezoid=out[1],
    )


# a few whole numbers, so that ties within and across the sets are the rule
tied = st.lists(st.integers(-4, 4), min_size=1, max_size=25).map(lambda rows: np.array(rows, dtype=np.float64))


@given(tied, tied)
def test_agrees_with_the_definitions(inside: np.ndarray, outside: np.ndarray) -> None:
    assert asdict(ood_metrics(inside, outside)) == pytest.approx(asdict(naive(inside, outside)), abs=1e-12)


@given(tied, tied)
def test_a_rising_map_changes_nothing(inside: np.ndarray, outside: np.ndarray) -> None:
    assert ood_metrics(np.exp(inside), np.exp(outside)) == ood_metrics(inside, outside)


@given(tied, tied)
def test_swapping_and_negating_exchanges_the_roles(inside: np.ndarray, outside: np.ndarray) -> None:
    there, back = ood_metrics(inside, outside), ood_metrics(-outside, -inside)
    assert back.auroc == there.auroc
    assert back.fpr95_id_positive == there.fpr95_ood_positive
    assert back.aupr_in == pytest.approx(there.aupr_out, abs=1e-12)
    assert back.aupr_in_trapezoid == pytest.approx(there.aupr_out_trapezoid, abs=1e-12)
    assert auroc(outside, inside) == pytest.approx(1 - there.auroc, abs=1e-12)


@given(tied, tied, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(inside: np.ndarray, outside: np.ndarray, random) -> None:
    shuffled = [list(inside), list(outside)]
    for rows in shuffled:
        random.shuffle(rows)
    assert ood_metrics(np.array(shuffled[0]), np.array(shuffled[1])) == ood_metrics(inside, outside)


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_agrees_with_scikit_learn(decimals: int) -> None:
    generator = np.random.default_rng(7)
    inside = generator.normal(0.7, 1, 900).round(decimals)
    outside = generator.normal(0, 1.3, 1300).round(decimals)
    found = ood_metrics(inside, outside)
    for sign, prefix in ((1, "in"), (-1, "out")):
        truth = np.concatenate((np.full(900, sign == 1), np.full(1300, sign == -1)))
        score = sign * np.concatenate((inside, outside))
        fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
        precision, recall, _ = precision_recall_curve(truth, score)
        assert found.auroc == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        fpr95 = found.fpr95_id_positive if sign == 1 else found.fpr95_ood_positive
        assert fpr95 == fpr[np.argmax(tpr >= 0.95)]
        assert getattr(found, f"aupr_{prefix}") == pytest.approx(average_precision_score(truth, score), abs=1e-12)
        assert getattr(found, f"aupr_{prefix}_trapezoid") == pytest.approx(auc(recall, precision), abs=1e-12)


@pytest.mark.parametrize("n", [1, 19, 20, 21, 40, 99, 100, 1000, 2000])
def test_95_percent_is_counted_in_whole_rows(n: int) -> None:
    rows = np.arange(n)
    kept = (rows >= threshold_at_tpr(rows, positive="id")).sum()
    caught = (rows <= threshold_at_tpr(rows, positive="ood")).sum()
    assert kept == caught == -(-95 * n // 100)


def test_other_rates() -> None:
    inside, outside = np.arange(10), np.arange(-5, 5)
    assert fpr_at_tpr(inside, outside, tpr=1.0, positive="id") == 0.5
    assert fpr_at_tpr(inside, outside, tpr=0.5, positive="id") == 0
    assert fpr_at_tpr(inside, outside, tpr=0.6, positive="ood") == 0.1
    with pytest.raises(ValueError, match=r"expected a share in \(0, 1\], got 95.0"):
        fpr_at_tpr(inside, outside, tpr=95.0, positive="id")


def test_perfect_separation_is_exact() -> None:
    found = ood_metrics(np.linspace(1, 2, 777), np.linspace(-1, 0, 333))
    assert asdict(found) == {
        "auroc": 1.0,
        "fpr95_id_positive": 0.0,
        "fpr95_ood_positive": 0.0,
        "aupr_in": 1.0,
        "aupr_out": 1.0,
        "aupr_in_trapezoid": 1.0,
        "aupr_out_trapezoid": 1.0,
    }


def test_sorted_scores_are_reused_and_keep_their_precision() -> None:
    generator = np.random.default_rng(1)
    inside, outside = generator.normal(1, 1, 500).astype(np.float32), generator.normal(0, 1, 400).astype(np.float32)
    once = ood_metrics(SortedScores(inside), SortedScores(outside))
    assert once == ood_metrics(inside, outside) == ood_metrics(inside.astype(np.float64), outside.astype(np.float64))
    with pytest.raises(ValueError, match="read-only"):
        SortedScores(inside).distinct[0] = 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"OOD scores: expected finite scores, got {bad} at row 1"):
        ood_metrics(np.array([1.0, 2.0]), np.array([0.0, bad, 1.0]))
    with pytest.raises(ValueError, match=rf"ID scores: expected finite scores, got {bad} at row 1"):
        ood_metrics(np.array([0.0, bad, 1.0]), np.array([1.0, 2.0]))


def test_refuses_an_empty_set() -> None:
    with pytest.raises(ValueError, match="OOD scores: expected at least one score, got an empty set"):
        ood_metrics(np.array([1.0]), np.array([]))


def test_group_mean_is_unweighted() -> None:
    first, second = ood_metrics(np.arange(5), np.arange(50) - 3), ood_metrics(np.arange(5), np.arange(5))
    mean = asdict(mean_metrics([first, second]))
    assert mean == pytest.approx({key: (value + asdict(second)[key]) / 2 for key, value in asdict(first).items()})
    with pytest.raises(ValueError, match="at least one set, got none"):
        mean_metrics([])


def test_id_accuracy() -> None:
    assert id_accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75
    with pytest.raises(ValueError, match="at least one row"):
        id_accuracy(np.array([], dtype=int), np.array([], dtype=int))
