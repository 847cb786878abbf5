"""Mowst's confidences against the ratio of variances and the normalised entropy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from direct import logits_bank, run, softmax_rows
from support import problem, score

from ood_bench.errors import CannotScore


def test_second_writing() -> None:
    given = problem()
    variance, entropy = [], []
    for row in softmax_rows(given.logits("test")):
        one_hot = np.eye(len(row))[0]
        variance.append(np.var(row) / np.var(one_hot))
        entropy.append(1 + math.fsum(p * math.log(p) for p in row.tolist()) / math.log(len(row)))
    np.testing.assert_allclose(score("mowst-variance", given), variance, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(score("mowst-entropy", given), entropy, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", ["mowst-variance", "mowst-entropy"])
def test_ends(name: str) -> None:
    scores, _ = run(name, logits_bank([[0.0] * 5, [1e4, -1e4, -1e4, -1e4, -1e4]]))
    np.testing.assert_allclose(scores, [0, 1], atol=1e-12)
    with pytest.raises(CannotScore, match="needs at least 2 classes, got K=1"):
        run(name, logits_bank([[1.0], [2.0]]))
