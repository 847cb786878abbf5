"""Rel-U against its definition, and the Gini index where nothing can be learnt."""

from __future__ import annotations

import math

import numpy as np
import pytest
from direct import logits_bank, run, softmax_rows
from support import problem, score

from ood_bench.errors import CannotScore


def naive(
    val: np.ndarray, labels: np.ndarray, logits: np.ndarray, lam: float = 0.5, temperature: float = 1.0
) -> list[float]:
    k = val.shape[1]
    sums = {True: np.zeros((k, k)), False: np.zeros((k, k))}
    counts = {True: 0, False: 0}
    for p, y in zip(softmax_rows(val / temperature), labels, strict=True):
        right = bool(p.argmax() == y)
        counts[right] += 1
        for i in range(k):
            for j in range(k):
                sums[right][i, j] += p[i] * p[j]
    d = np.zeros((k, k))
    for i in range(k):
        for j in range(k):
            if i != j:
                d[i, j] = max(
                    0.0, lam * sums[False][i, j] / counts[False] - (1 - lam) * sums[True][i, j] / counts[True]
                )
    d /= math.sqrt(math.fsum((d * d).ravel().tolist()))
    return [-float(p @ d @ p) for p in softmax_rows(logits / temperature)]


def test_second_writing() -> None:
    given = problem()
    args = (given.logits("val"), given.labels("val"), given.logits("test"))
    np.testing.assert_allclose(score("rel-u", given), naive(*args), rtol=1e-9)
    np.testing.assert_allclose(score("rel-u:lam=0.8,temperature=2", given), naive(*args, 0.8, 2.0), rtol=1e-9)
    np.testing.assert_allclose(score("rel-u", given, rows=7), naive(*args), rtol=1e-9)


def test_without_errors_it_is_the_gini_index() -> None:
    given = problem()
    val = given.logits("val")
    scores, learned = run(
        "rel-u", logits_bank(given.logits("test")), val=logits_bank(val, val.argmax(axis=1), name="val")
    )
    assert learned == {"gini": True}
    gini = [1 - float(p @ p) for p in softmax_rows(given.logits("test"))]
    np.testing.assert_allclose(scores, -np.array(gini) / np.sqrt(7 * 6), rtol=1e-9, atol=1e-13)


def test_with_errors_alone_all_their_pairs_count() -> None:
    given = problem()
    val = given.logits("val")
    scores, learned = run(
        "rel-u", logits_bank(given.logits("test")), val=logits_bank(val, (val.argmax(axis=1) + 1) % 7, name="val")
    )
    assert learned == {"gini": False}
    assert np.isfinite(scores).all()
    assert scores.min() < scores.max() <= 0


def test_one_class_is_refused() -> None:
    with pytest.raises(CannotScore, match="needs at least 2 classes, got K=1"):
        run("rel-u", logits_bank([[1.0]]), val=logits_bank([[1.0]], [0], name="val"))
