"""Temperature scaling: the temperature against a scalar minimiser, and what happens where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
from direct import logits_bank, run, softmax_rows
from support import fitted, problem, score

from ood_bench.errors import CannotScore


def nll(inverse: float, logits: np.ndarray, labels: np.ndarray) -> float:
    p = softmax_rows(logits * inverse)
    return -math.fsum(math.log(p[i, y]) for i, y in enumerate(labels)) / len(labels)


@pytest.mark.parametrize("sharpen", [0.05, 1.0, 40.0])
def test_the_temperature_minimises_the_likelihood(sharpen: float) -> None:
    given = problem()
    logits, labels = given.logits("val") * sharpen, given.labels("val")
    _, learned = run("tempscale", logits_bank(logits), val=logits_bank(logits, labels, name="val"))
    found = scipy.optimize.minimize_scalar(
        nll, bracket=(0.3 / sharpen, 1.0 / sharpen), args=(logits, labels), tol=1e-12
    )
    assert learned["temperature"] == pytest.approx(1 / found.x, rel=1e-6)
    p = softmax_rows(logits / learned["temperature"])
    slope = math.fsum(float(row @ z - z[y]) for row, z, y in zip(p, logits, labels, strict=True)) / len(labels)
    assert abs(slope) < 1e-9 * np.abs(logits).max()


def test_score_is_the_log_of_the_largest_probability_at_that_temperature() -> None:
    given = problem()
    temperature = fitted("tempscale", given).learned["temperature"]
    assert isinstance(temperature, float)
    expected = np.log(softmax_rows(given.logits("test") / temperature).max(axis=1))
    for name in ("tempscale", "temperature-scaling", "temp-scaling"):
        np.testing.assert_allclose(score(name, given), expected, rtol=1e-9, atol=1e-13)


def test_without_an_error_or_without_signal_it_stops_at_a_bound() -> None:
    rows = np.eye(3) * 2 - 1
    right, wrong = logits_bank(rows, [0, 1, 2], name="val"), logits_bank(rows, [1, 2, 0], name="val")
    scores, learned = run("tempscale", logits_bank(rows), val=right)
    assert learned["temperature"] < 0.1  # the derivative underflows on the way to 0
    assert np.isfinite(scores).all()
    _, learned = run("tempscale", logits_bank(rows), val=wrong)
    assert learned["temperature"] == pytest.approx(1000)


def test_equal_logits_leave_the_temperature_alone() -> None:
    flat = logits_bank(np.zeros((4, 3)), [0, 1, 2, 0], name="val")
    assert run("tempscale", logits_bank(np.zeros((2, 3))), val=flat)[1] == {"temperature": 1.0}


def test_it_needs_labelled_validation_rows() -> None:
    given = problem()
    with pytest.raises(CannotScore, match="needs val-labels"):
        run("tempscale", logits_bank(given.logits("test")), val=logits_bank(given.logits("val"), name="val"))
