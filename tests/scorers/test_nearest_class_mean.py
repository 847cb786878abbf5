"""Nearest class mean against loops; a large offset; empty classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, problem, score


def naive(given: Problem, name: str, metric: str) -> np.ndarray:
    rows, labels = given.features("fit"), given.labels("fit")
    means = [rows[labels == c].mean(axis=0) for c in np.unique(labels)]
    if metric == "euclidean":
        return np.array([-min(np.sqrt(((h - m) ** 2).sum()) for m in means) for h in given.features(name)])
    return np.array([max(h @ m / np.linalg.norm(h) / np.linalg.norm(m) for m in means) for h in given.features(name)])


@pytest.mark.parametrize(("spec", "metric"), [("ncm", "euclidean"), ("nearest-class-mean:metric=cosine", "cosine")])
def test_second_writing(spec: str, metric: str) -> None:
    given = problem()
    for name in ("test", "ood"):
        np.testing.assert_allclose(score(spec, given, name), naive(given, name, metric), rtol=1e-9)


def test_float32_keeps_its_digits_far_from_the_origin() -> None:
    given = problem()
    for features, _, _ in given.sets.values():
        features += 1000.0
        features[:] = features.astype(np.float32)
    near = score("ncm", given, dtype=torch.float32)
    np.testing.assert_allclose(near, naive(given, "test", "euclidean"), rtol=2e-4)


def test_a_class_without_rows_is_left_out() -> None:
    given = problem()
    features, logits, labels = given.sets["fit"]
    kept = labels != 0
    given.sets["fit"] = (features[kept], logits[kept], labels[kept])
    np.testing.assert_allclose(score("ncm", given), naive(given, "test", "euclidean"), rtol=1e-9)
