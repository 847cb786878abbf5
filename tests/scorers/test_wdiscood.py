"""WDiscOOD against the authors' route: symmetric whitening, general eigenproblem, orthogonal complement by SVD."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from support import Problem, fitted, problem, score

from ood_bench.errors import CannotScore
from ood_bench.scorers.wdiscood import WDiscOOD
from ood_bench.types import Info


def naive(given: Problem, name: str, dim: int, lam: float, *, unit: bool) -> np.ndarray:
    rows, queries, labels = given.features("fit"), given.features(name), given.labels("fit")
    if unit:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    classes = np.unique(labels)

    def means_of(x: np.ndarray) -> np.ndarray:
        return np.stack([x[labels == c].mean(axis=0) for c in classes])

    left = rows - means_of(rows)[np.searchsorted(classes, labels)]
    whiten = np.real(scipy.linalg.fractional_matrix_power(left.T @ left / len(rows), -0.5))
    x, q = rows @ whiten, queries @ whiten
    means, centre = means_of(x), x.mean(axis=0)
    between = (means - centre).T @ (means - centre) / len(classes)
    left = x - means[np.searchsorted(classes, labels)]
    ratios, directions = scipy.linalg.eigh(between, left.T @ left / len(x))
    g = directions[:, np.argsort(-ratios)[:dim]]
    g = g / np.linalg.norm(g, axis=0)
    basis = np.linalg.svd(g.T)[2][:dim]
    h = np.eye(len(centre)) - basis.T @ basis
    scores = []
    for row in q:
        nearest = min(np.linalg.norm(g.T @ row - g.T @ m) for m in means)
        scores.append(-nearest - lam * np.linalg.norm(h @ row - h @ centre))
    return np.array(scores)


@pytest.mark.parametrize(
    ("spec", "dim", "lam", "unit"),
    [
        ("wdiscood", 6, 1.0, False),
        ("wdiscood:dim=3,lam=5", 3, 5.0, False),
        ("wdiscood:unit=true", 6, 1.0, True),
        ("wdiscood:lam=0,dim=1000", 6, 0.0, False),
    ],
)
def test_second_writing(spec: str, dim: int, lam: float, unit: bool) -> None:
    given = problem()
    for name in ("test", "ood"):
        np.testing.assert_allclose(score(spec, given, name), naive(given, name, dim, lam, unit=unit), rtol=1e-9)


def test_the_authors_two_settings_clamped_to_the_discriminants_there_are() -> None:
    assert WDiscOOD().resolve(Info(1000, 2048)) == WDiscOOD(999, 5.0)
    assert WDiscOOD().resolve(Info(1000, 768)) == WDiscOOD(512, 1.0)
    assert WDiscOOD().resolve(Info(10, 512)) == WDiscOOD(9, 1.0)
    assert WDiscOOD(4, 2.0).resolve(Info(10, 512)) == WDiscOOD(4, 2.0)


def test_one_class_is_refused() -> None:
    given = problem(k=1)
    with pytest.raises(CannotScore, match="at least 2 classes, got K=1"):
        fitted("wdiscood", given)
