from __future__ import annotations

import numpy as np
import pytest
from support import Problem, fitted, problem, score


def parts(given: Problem, name: str) -> tuple[np.ndarray, np.ndarray]:
    cosines, norms = [], []
    for row in given.features(name):
        norm = np.sqrt((row**2).sum())
        cosines.append(max(row @ w / norm / np.sqrt((w**2).sum()) for w in given.weight))
        norms.append(norm)
    return np.array(cosines), np.array(norms)


@pytest.mark.parametrize("relu", [True, False])
def test_against_row_by_row(relu: bool) -> None:
    given = problem(31, relu=relu)
    cosine, norm = parts(given, "ood")
    np.testing.assert_allclose(score("dml:lam=30", given, "ood", rows=11), 30 * cosine + norm, rtol=1e-9)
    cosine_fit, norm_fit = parts(given, "fit")
    lam = norm_fit.mean() / cosine_fit.mean()
    np.testing.assert_allclose(score("dml", given, "ood", rows=11), lam * cosine + norm, rtol=1e-9)
    assert fitted("dml", given).learned["lam"] == pytest.approx(lam, rel=1e-12)
    assert fitted("dml:lam=30", given).learned == {"lam": 30.0}


def test_fit_features_that_point_nowhere_are_refused() -> None:
    given = problem(32)
    given.sets["fit"][0][:] = 0.0
    given.sets["fit"][1][:] = given.bias
    with pytest.raises(AssertionError, match="dml:lam=auto needs fit features that point along the head"):
        fitted("dml", given)
