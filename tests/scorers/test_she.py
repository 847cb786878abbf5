"""SHE against a loop over rows; classes of which no fit row is right."""

from __future__ import annotations

import numpy as np
from support import Problem, fitted, problem, score


def naive(given: Problem, name: str) -> np.ndarray:
    features, logits, labels = given.sets["fit"]
    right = logits.argmax(axis=1) == labels
    scores = []
    for h, z in zip(given.features(name), given.logits(name), strict=True):
        c = int(z.argmax())
        chosen = features[right & (labels == c)]
        if len(chosen) == 0:
            chosen = features[labels == c]
        if len(chosen) == 0:
            chosen = features
        scores.append(h @ chosen.mean(axis=0))
    return np.array(scores)


def test_second_writing() -> None:
    given = problem()
    for name in ("test", "ood"):
        np.testing.assert_allclose(score("she", given, name, rows=13), naive(given, name), rtol=1e-9)
    assert fitted("she", given).learned == {"classes_without_pattern": 0}


def test_classes_without_a_right_row_take_their_label_s_mean_or_the_overall_one() -> None:
    given = problem()
    features, logits, labels = given.sets["fit"]
    logits = logits.copy()
    logits[labels == 2, 2] -= 100  # class 2 has rows, none of them right
    kept = labels != 4  # class 4 has no rows
    given.sets["fit"] = (features[kept], logits[kept], labels[kept])
    assert {2, 4} <= set(given.logits("test").argmax(axis=1).tolist())
    np.testing.assert_allclose(score("she", given), naive(given, "test"), rtol=1e-9)
    assert fitted("she", given).learned == {"classes_without_pattern": 2}
