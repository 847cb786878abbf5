"""Second writings of msp, maxlogit and energy: the definitions, row by row, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support import problem, score

from ood_bench.batch import Batch

TOY = problem(3)


def rows() -> np.ndarray:
    return np.concatenate([TOY.logits("test"), TOY.logits("ood")])


def scored(spec: str) -> np.ndarray:
    return np.concatenate([score(spec, TOY, "test"), score(spec, TOY, "ood")])


def test_msp_is_the_log_of_the_largest_softmax_probability() -> None:
    expected = []
    for z in rows():
        exponentials = [math.exp(v - max(z)) for v in z]
        expected.append(math.log(max(exponentials) / sum(exponentials)))
    # the log of a rounded probability is known to half a unit of 1 only
    np.testing.assert_allclose(scored("msp"), expected, rtol=1e-9, atol=1e-15)


def test_msp_tells_saturated_rows_apart_in_float32() -> None:
    """Where the probability rounds to 1 its logarithm does not; 10,000 margins in, 10,000 distinct scores out."""
    margins = np.linspace(20.0, 60.0, 1000, dtype=np.float32)
    logits = torch.zeros(1000, 3)
    logits[:, 0] = torch.from_numpy(margins)
    probability = torch.softmax(logits, dim=1).amax(dim=1)
    assert len(probability.unique()) == 1
    assert len(Batch(logits=logits).log_confidence.unique()) == 1000


def test_maxlogit() -> None:
    np.testing.assert_array_equal(scored("maxlogit"), [max(z) for z in rows()])


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0, 1000.0])
def test_energy(temperature: float) -> None:
    expected = [temperature * math.log(math.fsum(math.exp(v / temperature) for v in z)) for z in rows()]
    np.testing.assert_allclose(scored(f"energy:temperature={temperature}"), expected, rtol=1e-9)
