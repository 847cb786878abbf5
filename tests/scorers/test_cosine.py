"""Largest cosine with the head's rows, against a loop."""

from __future__ import annotations

import numpy as np
from support import problem, score


def test_second_writing() -> None:
    given = problem()
    for name in ("test", "ood"):
        expected = [max(h @ w / (np.sqrt(h @ h) * np.sqrt(w @ w)) for w in given.weight) for h in given.features(name)]
        np.testing.assert_allclose(score("maxcosine", given, name), expected, rtol=1e-9)


def test_zero_rows_score_zero() -> None:
    given = problem()
    given.features("ood")[:3] = 0
    given.logits("ood")[:3] = given.bias
    assert np.array_equal(score("maxcosine", given, "ood")[:3], np.zeros(3))
