"""The margin against its definition, and where p_1 - p_2 rounds to 1."""

from __future__ import annotations

import numpy as np
import torch
from direct import logits_bank, run, softmax_rows
from support import problem, score


def test_second_writing() -> None:
    given = problem()
    expected = []
    for row in softmax_rows(given.logits("test")).tolist():
        first, second = sorted(row, reverse=True)[:2]
        expected.append(first - second - 1)
    np.testing.assert_allclose(score("margin", given), expected, rtol=1e-9, atol=1e-15)


def test_confident_rows_stay_apart_in_single_precision() -> None:
    gaps = np.array([20.0, 25.0, 30.0, 60.0])
    logits = np.stack([gaps, np.zeros(4)], axis=1)
    scores, _ = run("margin", logits_bank(logits, dtype=torch.float32))
    np.testing.assert_allclose(scores, -2 * np.exp(-gaps), rtol=1e-5)


def test_equal_leaders_have_no_margin() -> None:
    scores, _ = run("margin", logits_bank([[3.0, 3.0, -1.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(scores, [-1, -1], rtol=1e-12)
