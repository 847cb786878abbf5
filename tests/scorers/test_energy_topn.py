"""The energy of the largest logits against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from direct import logits_bank, run

from ood_bench.errors import CannotScore


def naive(logits: np.ndarray, n: int) -> list[float]:
    return [math.log(math.fsum(math.exp(z) for z in sorted(row)[-n:])) for row in logits.tolist()]


@pytest.mark.parametrize(
    ("spec", "k", "n"),
    [
        ("energy-topn", 45, 4),
        ("energy-topn", 7, 1),
        ("energy-topn:n=3", 7, 3),
        ("energy-topn:n=7", 7, 7),
    ],
)
def test_second_writing(spec: str, k: int, n: int) -> None:
    logits = np.random.default_rng(5).normal(0, 3, (40, k))
    np.testing.assert_allclose(run(spec, logits_bank(logits))[0], naive(logits, n), rtol=1e-9)


def test_more_logits_than_classes_are_refused() -> None:
    with pytest.raises(CannotScore, match="needs 1 <= n <= 3"):
        run("energy-topn:n=4", logits_bank([[1.0, 2.0, 3.0]]))
