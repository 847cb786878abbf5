from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm

from ood_bench.metrics.bootstrap import bootstrap_ood
from ood_bench.metrics.intervals import auroc_interval, auroc_paired_test, auroc_variance
from ood_bench.metrics.ood import auroc

tied = st.lists(st.integers(-4, 4), min_size=2, max_size=20).map(lambda rows: np.array(rows, dtype=np.float64))


def placements(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    return (inside[:, None] > outside[None, :]) + 0.5 * (inside[:, None] == outside[None, :])


@given(tied, tied)
def test_delong_against_all_pairs(inside: np.ndarray, outside: np.ndarray) -> None:
    won = placements(inside, outside)
    expected = won.mean(axis=1).var(ddof=1) / len(inside) + won.mean(axis=0).var(ddof=1) / len(outside)
    assert auroc_variance(inside, outside) == pytest.approx(expected, abs=1e-12)


@given(tied, tied, st.integers(0, 2**32 - 1))
def test_paired_delong_against_the_covariance_matrix(inside: np.ndarray, outside: np.ndarray, seed: int) -> None:
    generator = np.random.default_rng(seed)
    other_in, other_out = (
        inside + generator.integers(-2, 3, len(inside)),
        outside + generator.integers(-2, 3, len(outside)),
    )
    won = [placements(inside, outside), placements(other_in, other_out)]
    by_id, by_ood = np.cov([w.mean(axis=1) for w in won]), np.cov([w.mean(axis=0) for w in won])
    contrast = np.array([1, -1])
    expected = contrast @ (by_id / len(inside) + by_ood / len(outside)) @ contrast
    found = auroc_paired_test(inside, outside, other_in, other_out)
    assert found.difference == pytest.approx(auroc(inside, outside) - auroc(other_in, other_out), abs=1e-12)
    assert found.standard_error**2 == pytest.approx(expected, abs=1e-12)


def test_delong_agrees_with_the_bootstrap() -> None:
    generator = np.random.default_rng(4)
    inside, outside = generator.normal(1, 1, 1500).round(1), generator.normal(0, 1, 800).round(1)
    found = auroc_interval(inside, outside)
    resampled = bootstrap_ood({"s": inside}, {"far": {"s": outside}}, resamples=2000)
    values = resampled.of("s", ["far"], "auroc")
    assert values.var() == pytest.approx(auroc_variance(inside, outside), rel=0.1)
    other = resampled.interval("s", ["far"], "auroc")
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.003)
    assert found.method == "delong-logit"


def test_perfect_separation_counts_disjoint_pairs() -> None:
    found = auroc_interval(np.arange(10, 60), np.arange(10))
    assert found.method == "disjoint-pairs"
    assert found.high == 1
    # ten independent comparisons, all won: Clopper & Pearson
    assert found.low == pytest.approx(0.025 ** (1 / 10), abs=1e-12)
    turned = auroc_interval(np.arange(10), np.arange(10, 60))
    assert (turned.low, turned.high) == pytest.approx((0, 1 - found.low), abs=1e-12)


def test_constants_have_a_wide_interval() -> None:
    found = auroc_interval(np.zeros(20), np.zeros(30), level=0.9)
    assert (found.method, found.level) == ("disjoint-pairs", 0.9)
    assert (found.low, found.high) == pytest.approx((beta.ppf(0.05, 10, 11), beta.ppf(0.95, 11, 10)), abs=1e-9)


@pytest.mark.parametrize(("n", "distance"), [(500, 0.5), (500, 1.5), (500, 3.0), (1000, 1.5)])
def test_coverage_by_simulation(n: int, distance: float) -> None:
    generator = np.random.default_rng(9)
    truth = norm.cdf(distance / np.sqrt(2))
    hits = 0
    for _ in range(600):
        found = auroc_interval(generator.normal(distance, 1, n), generator.normal(0, 1, n))
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / 600 <= 0.97


def test_paired_p_values_are_uniform_under_the_null() -> None:
    generator = np.random.default_rng(6)
    below = []
    for _ in range(400):
        shared_id, shared_ood = generator.normal(1, 1, 150), generator.normal(0, 1, 150)
        noise = generator.normal(0, 0.7, (4, 150))
        test = auroc_paired_test(
            shared_id + noise[0], shared_ood + noise[1], shared_id + noise[2], shared_ood + noise[3]
        )
        assert test.p_value is not None
        below.append(test.p_value < 0.1)
    assert 0.07 <= np.mean(below) <= 0.13  # 0.1 +- two standard errors


def test_paired_test_where_ranks_do_not_vary() -> None:
    inside, outside = np.arange(5, 10), np.arange(5)
    same = auroc_paired_test(inside, outside, inside * 2, outside * 2)
    assert (same.difference, same.p_value) == (0, 1)
    apart = auroc_paired_test(inside, outside, np.zeros(5), np.zeros(5))
    assert (apart.difference, apart.p_value) == (0.5, None)


def test_refuses_what_has_no_variance() -> None:
    with pytest.raises(ValueError, match="at least two ID and two OOD scores, got 1 and 5"):
        auroc_interval(np.array([1.0]), np.arange(5))
    with pytest.raises(ValueError, match="level between 0 and 1, got 95"):
        auroc_interval(np.arange(5), np.arange(5), level=95.0)
    with pytest.raises(ValueError, match="expected finite"):
        auroc_paired_test(np.array([1.0, np.nan]), np.arange(3), np.arange(2), np.arange(3))
