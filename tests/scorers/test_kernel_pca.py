"""CoP and CoRP against an SVD and the paper's reconstruction, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, fitted, problem, score

from ood_bench.batch import Batch
from ood_bench.reductions import Moments
from ood_bench.scorers.kernel_pca import CoP, CoRP
from ood_bench.types import Info


def reconstruction_error(rows: np.ndarray, queries: np.ndarray, variance: float) -> tuple[np.ndarray, int]:
    mean = rows.mean(axis=0)
    u, s, _ = np.linalg.svd((rows - mean).T @ (rows - mean))
    q = next(i for i in range(1, len(s) + 1) if s[:i].sum() / s.sum() >= variance)
    q = min(q, len(s) - 1)
    left = [(x - mean) - u[:, :q] @ (u[:, :q].T @ (x - mean)) for x in queries]
    return np.array([np.sqrt((x**2).sum()) for x in left]), q


def unit(given: Problem, name: str) -> np.ndarray:
    rows = given.features(name)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("spec", "variance"),
    [("cop", 0.85), ("cop:variance=0.3", 0.3), ("cop:variance=0.99", 0.99), ("cop:variance=1", 1.0)],
)
def test_cop_second_writing(spec: str, variance: float) -> None:
    given = problem()
    for name in ("test", "ood"):
        expected, q = reconstruction_error(unit(given, "fit"), unit(given, name), variance)
        np.testing.assert_allclose(score(spec, given, name, rows=29), -expected, rtol=1e-9)
        assert fitted(spec, given).learned == {"components": q}


@pytest.mark.parametrize("variance", [0.2, 0.8])  # by the components, and by the others
def test_corp_second_writing(variance: float) -> None:
    given = problem()
    spec = f"corp:m=64,gamma=1.5,seed=3,variance={variance}"
    fourier = fitted(spec, given).scorer.fourier
    frequencies, phase = fourier.frequencies.numpy(), fourier.phase.numpy()

    def mapped(name: str) -> np.ndarray:
        return np.array([np.sqrt(2 / 64) * np.cos(frequencies @ x + phase) for x in unit(given, name)])

    expected, q = reconstruction_error(mapped("fit"), mapped("ood"), variance)
    np.testing.assert_allclose(score(spec, given, "ood"), -expected, rtol=1e-9)
    assert fitted(spec, given).learned == {"components": q}


def test_random_features_approach_the_gaussian_kernel() -> None:
    talk = CoRP(gamma=1.5, m=50_000, variance=0.5).fit(Info(2, 3))
    question = next(talk)
    assert isinstance(question, Moments)
    fourier = question.of
    x = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0))).double()
    mapped = fourier(Batch(features=x))
    kernel = torch.exp(-1.5 * torch.cdist(x, x) ** 2)
    assert torch.allclose(mapped @ mapped.T, kernel, atol=0.02)


def test_the_seed_decides_the_draw() -> None:
    given = problem()
    first, again, other = (score(f"corp:m=64,seed={seed}", given) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_authors_two_settings() -> None:
    assert CoP().resolve(Info(1000, 2048)).variance == 0.99
    assert CoP().resolve(Info(10, 512)).variance == 0.85
    assert CoRP().resolve(Info(1000, 2048)) == CoRP(3.0, 4096, 0.5)
    assert CoRP().resolve(Info(10, 512)) == CoRP(2.0, 2048, 0.8)
    assert CoRP().resolve(Info(10, 64)) == CoRP(2.0, 256, 0.8)
    assert CoRP(m=128).resolve(Info(10, 512)).m == 128
