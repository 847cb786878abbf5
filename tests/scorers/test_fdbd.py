from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import Problem, problem, score


def naive(given: Problem, name: str, *, by_norm: bool = False) -> np.ndarray:
    mean = given.features("fit").mean(axis=0)
    out = []
    for row, logits in zip(given.features(name), given.logits(name), strict=True):
        y = int(np.argmax(logits))
        total = 0.0
        for c in range(len(logits)):
            distance = np.sqrt(((given.weight[y] - given.weight[c]) ** 2).sum())
            if distance > 0:
                total += (logits[y] - logits[c]) / distance
        out.append(total / np.linalg.norm(row if by_norm else row - mean))
    return np.array(out)


@pytest.mark.parametrize("relu", [True, False])
def test_against_row_by_row(relu: bool) -> None:
    given = problem(20, relu=relu)
    np.testing.assert_allclose(score("fdbd", given, "ood", rows=11), naive(given, "ood"), rtol=1e-9)
    np.testing.assert_allclose(score("fdbd:normalise=norm", given), naive(given, "test", by_norm=True), rtol=1e-9)


def with_head(given: Problem, weight: np.ndarray, bias: np.ndarray) -> Problem:
    sets = {name: (x, x @ weight.T + bias, y) for name, (x, _, y) in given.sets.items()}
    return replace(given, weight=weight, bias=bias, sets=sets)


def test_equal_rows_of_the_head_have_no_boundary() -> None:
    given = problem(21)
    weight, bias = given.weight.copy(), given.bias.copy()
    weight[3], bias[3] = weight[0], bias[0] - 0.5
    twin = with_head(given, weight, bias)
    np.testing.assert_allclose(score("fdbd", twin), naive(twin, "test"), rtol=1e-9)


def test_near_rows_of_the_head_keep_their_digits() -> None:
    """Rows that differ by 1e-7 of their length: a distance from a product would have no digit left."""
    given = problem(22)
    weight = given.weight + 10.0
    weight[3] = weight[0] + 1e-6 * np.linspace(-1, 1, weight.shape[1])
    near = with_head(given, weight, given.bias)
    np.testing.assert_allclose(score("fdbd", near), naive(near, "test"), rtol=1e-9)


def test_features_at_the_mean_have_a_number() -> None:
    given = problem(23)
    given.sets["test"][0][0] = given.features("fit").mean(axis=0)
    given.sets["test"][1][0] = given.weight @ given.sets["test"][0][0] + given.bias
    scores = score("fdbd", given)
    assert np.isfinite(scores).all()
    assert scores.argmax() == 0
