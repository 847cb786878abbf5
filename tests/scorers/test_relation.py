"""The relation graph's score against a double loop."""

from __future__ import annotations

import numpy as np
import pytest
from support import Problem, problem, score


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return np.asarray(e / e.sum())


def naive(given: Problem, name: str, power: float, threshold: float) -> np.ndarray:
    scores = []
    for h, z in zip(given.features(name), given.logits(name), strict=True):
        total = 0.0
        for h_i, z_i, _ in zip(*given.sets["fit"], strict=True):
            cosine = h @ h_i / (np.linalg.norm(h) * np.linalg.norm(h_i))
            relation = max(cosine, 0.0) * float(softmax(z) @ softmax(z_i))
            if relation > threshold:
                total += relation**power
        scores.append(total)
    return np.array(scores)


@pytest.mark.parametrize(
    ("spec", "power", "threshold"),
    [
        ("relation", 1.0, 0.03),
        ("relation:pow=4", 4.0, 0.03),
        ("relation:threshold=0", 1.0, 0.0),
        ("relation:pow=0.5,threshold=0.2", 0.5, 0.2),
    ],
)
def test_second_writing(spec: str, power: float, threshold: float) -> None:
    given = problem(relu=False, n_fit=120, n=25)  # negative cosines too
    for name in ("test", "ood"):
        np.testing.assert_allclose(score(spec, given, name, rows=19), naive(given, name, power, threshold), rtol=1e-9)


def test_no_relation_above_the_threshold_is_zero() -> None:
    given = problem(n_fit=60)
    given.features("ood")[0] = 0
    assert score("relation", given, "ood")[0] == 0
