"""KNN against a full sort of Euclidean distances."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from support import Problem, problem, score

from ood_bench.scorers.knn import KNN
from ood_bench.types import Info


def naive(given: Problem, name: str, k: int) -> np.ndarray:
    rows, queries = given.features("fit"), given.features(name)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return np.array([-np.sort(np.sqrt(((rows - q) ** 2).sum(axis=1)))[k - 1] for q in queries])


@pytest.mark.parametrize(("spec", "k"), [("knn", 50), ("knn:k=1", 1), ("knn:k=7", 7), ("knn:k=100000", 400)])
def test_second_writing(spec: str, k: int) -> None:
    given = problem()
    for name in ("test", "ood"):
        np.testing.assert_allclose(score(spec, given, name, rows=33), naive(given, name, k), rtol=1e-9)


@pytest.mark.parametrize("k", [1, 7, 400])
def test_of_features_as_they_are(k: int) -> None:
    given = problem()
    far = given.features("fit") + 1e3  # where |a|^2 - 2ab + |b|^2 loses digits
    given = Problem(given.weight, given.bias, given.sets | {"fit": (far, *given.sets["fit"][1:])})
    apart = np.sqrt(((given.features("ood")[:, None] + 1e3 - far[None]) ** 2).sum(axis=2))
    moved = Problem(
        given.weight, given.bias, given.sets | {"ood": (given.features("ood") + 1e3, *given.sets["ood"][1:])}
    )
    expected = -np.sort(apart, axis=1)[:, k - 1]
    np.testing.assert_allclose(score(f"knn:k={k},unit=false", moved, "ood", rows=33), expected, rtol=1e-7)
    near = problem()
    apart = np.sqrt(((near.features("ood")[:, None] - near.features("fit")[None]) ** 2).sum(axis=2))
    found = score(f"knn:k={k},unit=false", near, "ood", rows=33)
    np.testing.assert_allclose(found, -np.sort(apart, axis=1)[:, k - 1], rtol=1e-9)


def test_a_fit_row_is_its_own_neighbour() -> None:
    given = problem()
    assert np.all(np.abs(score("knn:k=1", given, "fit")) < 1e-7)
    assert np.all(np.isfinite(score("knn:k=1", given, "fit")))


@pytest.mark.parametrize(
    ("k", "n_classes", "n_fit", "resolved"),
    [
        ("auto", 10, 50_000, 50),
        ("auto", 1000, 50_000, 1000),
        ("auto", 1000, 600, 600),
        ("auto", None, 30, 30),
        (200, 10, 100, 100),
    ],
)
def test_k_by_the_authors_rule_and_clamped(
    k: int | Literal["auto"], n_classes: int | None, n_fit: int, resolved: int
) -> None:
    assert KNN(k).resolve(Info(n_classes, 8, n_fit)).k == resolved
