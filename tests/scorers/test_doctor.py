"""DOCTOR against its definition, and where 1 - g would cancel."""

from __future__ import annotations

import math

import numpy as np
import torch
from direct import logits_bank, run, softmax_rows
from support import problem, score


def test_second_writing() -> None:
    given = problem()
    alpha, beta = [], []
    for row in softmax_rows(given.logits("test")).tolist():
        g = math.fsum(p * p for p in row)
        not_g = math.fsum(row[i] * row[j] for i in range(len(row)) for j in range(len(row)) if i != j)
        alpha.append(-not_g / g)
        top = row.index(max(row))
        beta.append(-math.fsum(p for k, p in enumerate(row) if k != top) / row[top])
    np.testing.assert_allclose(score("doctor-alpha", given), alpha, rtol=1e-9)
    np.testing.assert_allclose(score("doctor-beta", given), beta, rtol=1e-9)


def test_confident_rows_stay_apart_in_single_precision() -> None:
    gaps = np.array([20.0, 25.0, 30.0, 60.0])
    logits = np.stack([gaps, np.zeros(4)], axis=1)
    scores, _ = run("doctor-alpha", logits_bank(logits, dtype=torch.float32))
    np.testing.assert_allclose(scores, -2 * np.exp(-gaps), rtol=1e-5)
    scores, _ = run("doctor-beta", logits_bank(logits, dtype=torch.float32))
    np.testing.assert_allclose(scores, -np.exp(-gaps), rtol=1e-5)


def test_ends() -> None:
    for name in ("doctor-alpha", "doctor-beta"):
        scores, _ = run(name, logits_bank([[0.0] * 5, [1e4, -1e4, -1e4, -1e4, -1e4]]))
        np.testing.assert_allclose(scores, [-4, 0], atol=1e-12)
