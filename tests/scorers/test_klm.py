"""KL-matching against its definition, and classes that nobody predicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from direct import logits_bank, run, softmax_rows
from support import problem, score


def naive(fit_logits: np.ndarray, logits: np.ndarray) -> list[float]:
    fit, rows = softmax_rows(fit_logits), softmax_rows(logits)
    typical = []
    for k in range(fit.shape[1]):
        members = [p for p in fit if p.argmax() == k]
        if members:
            typical.append(sum(members) / len(members))
    scores = []
    for p in rows:
        divergences = [
            math.fsum(a * math.log(a / b) for a, b in zip(p.tolist(), d.tolist(), strict=True) if a > 0)
            for d in typical
        ]
        scores.append(-min(divergences))
    return scores


@pytest.mark.parametrize(("spec", "learnt"), [("klm", "fit"), ("kl-matching", "fit"), ("klm:fit=val", "val")])
def test_second_writing(spec: str, learnt: str) -> None:
    given = problem()
    np.testing.assert_allclose(score(spec, given), naive(given.logits(learnt), given.logits("test")), rtol=1e-9)


def test_a_class_that_nobody_predicts_is_left_out() -> None:
    given = problem()
    fit, test = given.logits("fit").copy(), given.logits("test")
    fit[:, 2] -= 100
    scores, learned = run("klm", logits_bank(test), fit=logits_bank(fit, name="fit"))
    assert learned == {"classes": 6}
    np.testing.assert_allclose(scores, naive(fit, test), rtol=1e-9)


def test_saturated_fit_rows_give_finite_scores() -> None:
    fit = logits_bank([[1e4, -1e4, -1e4], [-1e4, 1e4, -1e4]], name="fit")
    scores, _ = run("klm", logits_bank([[1e4, -1e4, -1e4], [-1e4, -1e4, 1e4], [0, 0, 0]]), fit=fit)
    assert np.isfinite(scores).all()
    assert scores[0] == 0
    assert scores[0] > scores[2] > scores[1]
