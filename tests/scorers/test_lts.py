from __future__ import annotations

import numpy as np
import pytest
from support import problem, score


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("spec", "p"), [("lts", 95), ("lts:p=75", 75)])
def test_against_row_by_row(spec: str, p: float, relu: bool) -> None:
    given = problem(15, relu=relu)
    expected = []
    for row, logits in zip(given.features("ood"), given.logits("ood"), strict=True):
        positive = [max(value, 0.0) for value in row]
        kept = len(row) - int(np.round(len(row) * p / 100))
        ratio = sum(positive) / sum(sorted(positive, reverse=True)[:kept])
        expected.append(np.logaddexp.reduce(logits * ratio**2))
    np.testing.assert_allclose(score(spec, given, "ood", rows=11), expected, rtol=1e-9)


def test_scales_logits_alone() -> None:
    given = problem(16)
    np.testing.assert_array_equal(score("lts+caref", given), score("caref", given))


def test_a_row_without_positive_features_is_refused() -> None:
    given = problem(17, relu=False)
    given.sets["test"][0][0] = -1.0
    given.sets["test"][1][0] = given.bias - given.weight.sum(axis=1)
    with pytest.raises(AssertionError, match=r"lts needs features whose largest sum to a positive number.* of row 0"):
        score("lts", given)
