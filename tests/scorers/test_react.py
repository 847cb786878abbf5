from __future__ import annotations

import numpy as np
import pytest
from support import fitted, problem, score

from ood_bench.errors import RequestError
from ood_bench.specs import parse_spec


def energy(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.array([np.log(np.exp(row @ weight.T + bias).sum()) for row in features])


@pytest.mark.parametrize(("spec", "q"), [("react", 0.99), ("react:q=0.9", 0.9), ("react:q=0.5", 0.5)])
@pytest.mark.parametrize("relu", [True, False])
def test_clips_at_one_quantile_of_all_entries(spec: str, q: float, relu: bool) -> None:
    given = problem(1, relu=relu)
    ceiling = np.quantile(given.features("fit").ravel(), q)
    expected = energy(np.minimum(given.features("ood"), ceiling), given.weight, given.bias)
    np.testing.assert_allclose(score(spec, given, "ood", rows=17), expected, rtol=1e-9)
    assert fitted(spec, given).view.rectifiers[0].learned()["threshold"] == pytest.approx(ceiling, rel=1e-12)


def test_fixed_threshold_and_other_scorers_behind() -> None:
    given = problem(2)
    clipped = np.minimum(given.features("test"), 1.0)
    expected = energy(clipped, given.weight, given.bias)
    np.testing.assert_allclose(score("react:threshold=1.0", given), expected, rtol=1e-9)
    np.testing.assert_allclose(
        score("react:threshold=1.0+maxlogit", given), (clipped @ given.weight.T + given.bias).max(axis=1), rtol=1e-9
    )


def test_learns_from_val_when_asked() -> None:
    given = problem(3)
    ceiling = np.quantile(given.features("val").ravel(), 0.9)
    expected = energy(np.minimum(given.features("test"), ceiling), given.weight, given.bias)
    np.testing.assert_allclose(score("react:q=0.9,fit=val", given), expected, rtol=1e-9)


def test_a_share_is_asked_for() -> None:
    with pytest.raises(RequestError, match="q takes a number"):
        parse_spec("react:q=90")
