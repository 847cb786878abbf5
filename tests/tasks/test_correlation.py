"""Correlation of estimates with accuracies, against NumPy, SciPy and a fit by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ood_bench.metrics.correlation import correlation, predicted_by_others


def test_a_line_is_found_exactly() -> None:
    x = np.array([0.1, 0.4, 0.2, 0.9])
    found = correlation(x, 1 - 0.5 * x, ["a", "a", "b", "b"])
    assert (found.r2, found.rho, found.mae) == (pytest.approx(1), pytest.approx(-1), pytest.approx(0, abs=1e-12))


def test_against_numpy_and_scipy() -> None:
    rng = np.random.default_rng(0)
    x = np.round(rng.random(30), 1)  # with ties
    y = x + rng.normal(0, 0.3, 30)
    families = [f"f{i % 5}" for i in range(30)]
    found = correlation(x, y, families)
    assert found.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-12)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic, rel=1e-12)
    naive = []
    for family in set(families):
        mine = np.array([f == family for f in families])
        naive += list(np.abs(np.polyval(np.polyfit(x[~mine], y[~mine], 1), x[mine]) - y[mine]))
    assert found.mae == pytest.approx(np.mean(naive), rel=1e-9)


def test_a_family_is_not_predicted_from_itself() -> None:
    x, y = np.array([0.0, 1.0, 5.0]), np.array([0.0, 1.0, -40.0])
    assert predicted_by_others(x, y, ["a", "a", "b"])[2] == pytest.approx(5.0)


@pytest.mark.parametrize(("x", "message"), [([1.0, 1.0, 1.0], "differ, got 3"), ([1.0, 2.0], "differ, got 2")])
def test_what_cannot_correlate_is_refused(x: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        correlation(np.array(x), np.arange(float(len(x))), ["a"] * len(x))


def test_one_family_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="at least two families, got \\['a'\\]"):
        correlation(np.arange(3.0), np.array([0.0, 2.0, 1.0]), ["a"] * 3)
