from __future__ import annotations

import numpy as np
import pytest
from support import problem, score


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("spec", "alpha"), [("nci", 1e-4), ("nci:alpha=0", 0.0), ("nci:alpha=0.1", 0.1)])
def test_against_row_by_row(spec: str, alpha: float, relu: bool) -> None:
    given = problem(24, relu=relu)
    mean = given.features("fit").mean(axis=0)
    expected = []
    for row, logits in zip(given.features("ood"), given.logits("ood"), strict=True):
        w = given.weight[int(np.argmax(logits))]
        expected.append(w @ (row - mean) / np.linalg.norm(row - mean) + alpha * np.abs(row).sum())
    np.testing.assert_allclose(score(spec, given, "ood", rows=11), expected, rtol=1e-9)


def test_features_at_the_mean_have_only_their_norm() -> None:
    given = problem(25)
    given.sets["test"][0][0] = given.features("fit").mean(axis=0)
    given.sets["test"][1][0] = given.weight @ given.sets["test"][0][0] + given.bias
    # the mean is known to 1e-16, and a length below 1e-8 counts as 1e-8
    assert score("nci:alpha=0.5", given)[0] == pytest.approx(0.5 * given.sets["test"][0][0].sum(), rel=1e-6)
