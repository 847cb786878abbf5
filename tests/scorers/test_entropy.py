"""Entropy against its definition, and where single precision would lose it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from direct import logits_bank, run, softmax_rows
from support import problem, score


def test_second_writing() -> None:
    given = problem()
    expected = [sum(p * math.log(p) for p in row if p > 0) for row in softmax_rows(given.logits("test")).tolist()]
    np.testing.assert_allclose(score("entropy", given), expected, rtol=1e-9)


def test_confident_rows_stay_apart_in_single_precision() -> None:
    gaps = np.array([20.0, 25.0, 30.0, 60.0])
    logits = np.stack([gaps, np.zeros(4), np.zeros(4)], axis=1)
    scores, _ = run("entropy", logits_bank(logits, dtype=torch.float32))
    exact = [-2 * math.exp(-g) * (1 + g) for g in gaps]  # to first order in exp(-g)
    np.testing.assert_allclose(scores, exact, rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e4])
def test_ends(size: float) -> None:
    scores, _ = run("entropy", logits_bank([[size, -size, -size, -size]]))
    assert scores[0] == pytest.approx(-math.log(4) if size == 0 else 0.0, abs=1e-12)
