"""NNGuide against a full sort for each row."""

from __future__ import annotations

import numpy as np
import pytest
from support import Problem, problem, score


def energy(z: np.ndarray) -> float:
    return float(np.log(np.exp(z - z.max()).sum()) + z.max())


def naive(given: Problem, name: str, k: int) -> np.ndarray:
    bank = np.stack([h / np.linalg.norm(h) * energy(z) for h, z, _ in zip(*given.sets["fit"], strict=True)])
    scores = []
    for h, z in zip(given.features(name), given.logits(name), strict=True):
        products = np.sort(bank @ (h / np.linalg.norm(h)))[::-1]
        scores.append(energy(z) * products[:k].mean())
    return np.array(scores)


@pytest.mark.parametrize(("spec", "k"), [("nnguide", 10), ("nnguide:k=1", 1), ("nnguide:k=9999", 400)])
def test_second_writing(spec: str, k: int) -> None:
    given = problem()
    for name in ("test", "ood"):
        np.testing.assert_allclose(score(spec, given, name, rows=37), naive(given, name, k), rtol=1e-9)


def test_negative_energies_as_the_authors() -> None:
    given = problem()
    shifted = {key: (h, z - 40.0, y) for key, (h, z, y) in given.sets.items()}
    low = Problem(given.weight, given.bias - 40.0, shifted)
    np.testing.assert_allclose(score("nnguide", low), naive(low, "test", 10), rtol=1e-9)
