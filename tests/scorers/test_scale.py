from __future__ import annotations

import numpy as np
import pytest
from support import problem, score


@pytest.mark.parametrize(("spec", "p"), [("scale", 85), ("scale:p=50", 50), ("scale:p=95", 95)])
def test_against_row_by_row(spec: str, p: float) -> None:
    given = problem(14)
    expected = []
    for row in given.features("ood"):
        kept = len(row) - int(np.round(len(row) * p / 100))
        ratio = row.sum() / np.sort(row)[::-1][:kept].sum()
        expected.append(np.logaddexp.reduce(given.weight @ (row * np.exp(ratio)) + given.bias))
    np.testing.assert_allclose(score(spec, given, "ood", rows=11), expected, rtol=1e-9)
