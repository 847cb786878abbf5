"""GEN against its definition, all classes and the largest M."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from direct import logits_bank, run, softmax_rows
from support import problem, score

from ood_bench.errors import RequestError
from ood_bench.specs import parse_spec
from ood_bench.types import Info


@pytest.mark.parametrize(("spec", "gamma", "m"), [("gen", 0.1, 7), ("gen:m=3", 0.1, 3), ("gen:gamma=0.5,m=1", 0.5, 1)])
def test_second_writing(spec: str, gamma: float, m: int) -> None:
    given = problem()
    expected = []
    for row in softmax_rows(given.logits("test")).tolist():
        largest = sorted(row, reverse=True)[:m]
        # 1 - p of the winner as the sum of the others, which is what it is
        rests = [math.fsum(row) - largest[0] if p < 0.5 else math.fsum(q for q in row if q != p) for p in largest]
        rests = [1 - p if p < 0.5 else rest for p, rest in zip(largest, rests, strict=True)]
        expected.append(-math.fsum(p**gamma * rest**gamma for p, rest in zip(largest, rests, strict=True)))
    np.testing.assert_allclose(score(spec, given), expected, rtol=1e-9)


def test_m_is_clamped_to_the_classes_and_recorded() -> None:
    assert parse_spec("gen").resolved(Info(7, None)).params == {"gamma": 0.1, "m": 7}
    assert parse_spec("gen").resolved(Info(1000, None)).params == {"gamma": 0.1, "m": 100}


def test_confident_rows_stay_apart_in_single_precision() -> None:
    gaps = np.array([20.0, 25.0, 30.0, 60.0])
    logits = np.stack([gaps, np.zeros(4)], axis=1)
    scores, _ = run("gen", logits_bank(logits, dtype=torch.float32))
    np.testing.assert_allclose(scores, -2 * np.exp(-0.1 * gaps), rtol=1e-5)


def test_bad_values_are_refused() -> None:
    with pytest.raises(RequestError, match="m takes a whole number"):
        parse_spec("gen:m=0")
    with pytest.raises(RequestError, match="gamma takes a number"):
        parse_spec("gen:gamma=0")
