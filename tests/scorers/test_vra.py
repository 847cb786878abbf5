from __future__ import annotations

import numpy as np
import pytest
from support import Problem, problem, score

from ood_bench.errors import RequestError
from ood_bench.specs import parse_spec


def naive(
    given: Problem,
    name: str,
    low: np.ndarray | float,
    high: np.ndarray | float,
    lam: float = 0.0,
    clip: bool = False,
) -> np.ndarray:
    rows = given.features(name)
    low, high = np.broadcast_to(low, rows.shape[1]), np.broadcast_to(high, rows.shape[1])
    out = np.empty(len(rows))
    for i, row in enumerate(rows):
        shaped = np.empty_like(row)
        for j, value in enumerate(row):
            if value < low[j]:
                shaped[j] = low[j] if clip else 0.0
            elif value > high[j]:
                shaped[j] = high[j]
            else:
                shaped[j] = value + lam
        out[i] = np.log(np.exp(given.weight @ shaped + given.bias).sum())
    return out


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("spec", "q", "lam"), [("vra", (0.6, 0.9), 0.0), ("vra:high=0.95,lam=0.6", (0.6, 0.95), 0.6)])
def test_quantiles_by_dimension(spec: str, q: tuple[float, float], lam: float, relu: bool) -> None:
    given = problem(4, relu=relu)
    low, high = (np.quantile(given.features("fit"), share, axis=0) for share in q)
    np.testing.assert_allclose(score(spec, given, "ood", rows=23), naive(given, "ood", low, high, lam), rtol=1e-9)


def test_fixed_bounds_need_no_fit() -> None:
    given = problem(5)
    spec = "vra:threshold_low=0.5,threshold_high=1.0"
    np.testing.assert_allclose(score(spec, given), naive(given, "test", 0.5, 1.0), rtol=1e-9)


def test_one_fixed_bound() -> None:
    given = problem(5)
    high = np.quantile(given.features("fit"), 0.9, axis=0)
    np.testing.assert_allclose(score("vra:threshold_low=0.5", given), naive(given, "test", 0.5, high), rtol=1e-9)


def test_openoods_version() -> None:
    given = problem(6, relu=False)
    low, high = (np.percentile(given.features("val").ravel(), p) for p in (10, 90))
    spec = "vra:low=0.1,high=0.9,below=clip,per_dimension=false,fit=val"
    np.testing.assert_allclose(score(spec, given), naive(given, "test", low, high, clip=True), rtol=1e-9)


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(RequestError, match=r"lower bound should be at most the upper one, got 0\.9 > 0\.2"):
        parse_spec("vra:low=0.9,high=0.2")
