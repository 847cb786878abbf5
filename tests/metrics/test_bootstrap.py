from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from ood_bench.metrics import bootstrap
from ood_bench.metrics.bootstrap import METRICS, bootstrap_ood, bootstrap_selective
from ood_bench.metrics.ood import ood_metrics
from ood_bench.metrics.risk_coverage import augrc, aurc

GENERATOR = np.random.default_rng(8)


def rows(n: int, shift: float, decimals: int) -> dict[str, np.ndarray]:
    return {name: GENERATOR.normal(shift, 1, n).round(decimals) for name in ("a", "b")}


def drawn_again(stratum: str, n: int, resample: int, seed: int = 0) -> np.ndarray:
    """Row numbers of one resample, each as often as it was drawn."""
    unit, column = divmod(resample, 25)
    counts = bootstrap._counts(stratum, n, slice(25 * unit, 25 * unit + 25), seed)[:, column]
    assert counts.sum() == n
    return np.repeat(np.arange(n), counts.astype(int))


@pytest.mark.parametrize("decimals", [0, 1, 9])  # many ties, some, none
@pytest.mark.parametrize("cells", [1, 1_250_000])  # resamples in several blocks, in one
def test_each_resample_is_the_metric_of_its_rows(decimals: int, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CELLS", cells)
    inside = rows(61, 0.8, decimals)
    outside = {"near": rows(40, 0.3, decimals), "far": rows(83, -0.5, decimals)}
    found = bootstrap_ood(inside, outside, resamples=60)
    assert found.values.shape == (2, 2, len(METRICS), 60)
    for b in (0, 24, 25, 59):
        picked = drawn_again("id", 61, b)
        for s, scorer in enumerate(found.scorers):
            for o, name in enumerate(found.sets):
                again = outside[name][scorer][drawn_again(f"ood:{name}", len(outside[name][scorer]), b)]
                expected = list(asdict(ood_metrics(inside[scorer][picked], again)).values())
                # sums run in float32
                assert found.values[s, o, :, b] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("decimals", [0, 9])
def test_each_resample_is_the_risk_area_of_its_rows(decimals: int) -> None:
    confidence = rows(57, 0, decimals)
    correct = GENERATOR.uniform(size=57) < 0.7
    found = bootstrap_selective(confidence, correct, resamples=30)
    for b in (0, 7, 29):
        picked = drawn_again("id", 57, b)
        for s, name in enumerate(found.scorers):
            of_rows = confidence[name][picked], correct[picked]
            expected = [aurc(*of_rows), augrc(*of_rows), correct[picked].mean()]
            assert found.values[s, 0, :, b] == pytest.approx(expected, abs=2e-6)


def test_results_do_not_depend_on_what_else_is_asked() -> None:
    inside, near, far = rows(50, 1, 9), rows(40, 0, 9), rows(900, 0, 9)
    both = bootstrap_ood(inside, {"near": near, "far": far}, resamples=40)
    alone = bootstrap_ood({"b": inside["b"]}, {"near": {"b": near["b"]}}, resamples=30)
    assert np.array_equal(alone.values[0, 0], both.values[1, 0, :, :30])
    other = bootstrap_ood(inside, {"near": near}, resamples=40, seed=1)
    assert not np.array_equal(other.values[:, 0], both.values[:, 0])


def test_group_mean_and_paired_difference() -> None:
    inside = rows(400, 1, 9)
    outside = {name: rows(300, 0, 9) for name in ("x", "y", "z")}
    found = bootstrap_ood(inside, outside, resamples=400)
    single = found.of("a", ["x"], "auroc")
    mean = found.of("a", ["x", "y", "z"], "auroc")
    assert mean == pytest.approx(found.values[0, :, 0].mean(axis=0))
    # the ID weights are shared, so the mean varies more than that of three independent sets would
    assert mean.var() > single.var() / 3 * 1.2
    interval = found.interval("a", ["x", "y", "z"], "auroc")
    assert interval.low < mean.mean() < interval.high
    assert (interval.method, interval.level) == ("bootstrap-percentile", 0.95)
    same = found.difference("a", "a", ["x"], "aupr_in")
    assert (same.low, same.high) == (0, 0)


def test_draws_are_multinomial() -> None:
    counts = np.concatenate(
        [bootstrap._counts("id", 40, slice(start, start + 25), 0) for start in range(0, 2500, 25)], axis=1
    )
    assert (counts.sum(axis=0) == 40).all()
    assert counts.mean(axis=1) == pytest.approx(np.ones(40), abs=0.1)
    assert counts.var() == pytest.approx(1 - 1 / 40, rel=0.03)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 1001])
def test_running_sum(n: int) -> None:
    counts = GENERATOR.poisson(1, (n, 3)).astype(np.float32)
    expected = np.concatenate((np.zeros((1, 3)), np.cumsum(counts, axis=0)))
    assert np.array_equal(bootstrap._running_sum(counts), expected)


def test_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match=r"ID: expected the same rows for every scorer, got lengths \[2, 3\]"):
        bootstrap_ood({"a": np.arange(3), "b": np.arange(2)}, {"far": {"a": np.arange(3), "b": np.arange(3)}})
    with pytest.raises(ValueError, match="at least one resample, got 0"):
        bootstrap_ood({"a": np.arange(3)}, {"far": {"a": np.arange(3)}}, resamples=0)
    with pytest.raises(ValueError, match="a: scores of far: expected finite scores, got nan at row 0"):
        bootstrap_ood({"a": np.arange(3)}, {"far": {"a": np.array([np.nan, 1.0])}})
    with pytest.raises(ValueError, match="correct: expected 3 rows"):
        bootstrap_selective({"a": np.arange(3)}, np.array([True, False]))
