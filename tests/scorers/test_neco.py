"""NECO against scikit-learn's scaler and an SVD of the standardised rows."""

from __future__ import annotations

import numpy as np
import pytest
from support import Problem, fitted, problem, score

from ood_bench.errors import CannotScore


def naive(given: Problem, name: str, dim: int | None, variance: float, *, maxlogit: bool) -> tuple[np.ndarray, int]:
    rows = given.features("fit")
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    std = np.where(std == 0, 1, std)
    _, singular, right = np.linalg.svd((rows - mean) / std, full_matrices=False)
    explained = np.cumsum(singular**2) / np.sum(singular**2)
    k = dim or int(np.where(explained >= variance)[0][0]) + 1
    scores = []
    for h, z in zip(given.features(name), given.logits(name), strict=True):
        s = (h - mean) / std
        ratio = np.linalg.norm(right[:k] @ s) / np.linalg.norm(s)
        scores.append(ratio * z.max() if maxlogit else ratio)
    return np.array(scores), k


@pytest.mark.parametrize(
    ("spec", "dim", "variance", "maxlogit"),
    [
        ("neco", None, 0.9, True),
        ("neco:maxlogit=false", None, 0.9, False),
        ("neco:dim=5", 5, 0.9, True),
        ("neco:variance=0.5", None, 0.5, True),
    ],
)
def test_second_writing(spec: str, dim: int | None, variance: float, maxlogit: bool) -> None:
    given = problem()
    for name in ("test", "ood"):
        expected, k = naive(given, name, dim, variance, maxlogit=maxlogit)
        np.testing.assert_allclose(score(spec, given, name), expected, rtol=1e-9)
    assert fitted(spec, given).learned == {"dim": k}


def test_a_dead_unit_has_deviation_one() -> None:
    given = problem()
    for features, _, _ in given.sets.values():
        features[:, 3] = 0.1  # a sum of 400 of them is not 40 exactly
    given.features("ood")[:, 3] = 0.7
    np.testing.assert_allclose(score("neco", given, "ood"), naive_with_dead_unit(given), rtol=1e-9)


def naive_with_dead_unit(given: Problem) -> np.ndarray:
    rows = given.features("fit")
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    mean[3], std[3] = 0.1, 1.0
    values, vectors = np.linalg.eigh(np.cov(((rows - mean) / std).T, bias=True))
    explained = np.cumsum(values[::-1]) / values.sum()
    k = int(np.where(explained >= 0.9)[0][0]) + 1
    standard = (given.features("ood") - mean) / std
    ratio = np.linalg.norm(standard @ vectors[:, -k:], axis=1) / np.linalg.norm(standard, axis=1)
    return np.asarray(ratio * given.logits("ood").max(axis=1))


def test_more_dimensions_than_features_are_refused() -> None:
    with pytest.raises(CannotScore, match="needs 1 <= dim <= 24"):
        fitted("neco:dim=25", problem())
