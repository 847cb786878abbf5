"""A second writing of ViM and Residual from the paper's equations: SVD of the shifted features, plain NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, fitted, problem, score

from ood_bench.scorers.vim import principal_dim


def naive(given: Problem, dim: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(vim, residual): x = h - o with W o + b = 0 in least squares; the residual lies outside the first `dim` right
    singular vectors of the fit rows; alpha makes the mean virtual logit of the fit rows their mean largest logit."""
    origin = np.linalg.lstsq(given.weight, -given.bias, rcond=None)[0]
    fit = given.features("fit") - origin
    principal = np.linalg.svd(fit, full_matrices=True)[2][:dim]

    def residual(rows: np.ndarray) -> np.ndarray:
        lengths = []
        for row in rows - origin:
            inside = sum((row @ axis) * axis for axis in principal)
            lengths.append(np.sqrt(((row - inside) ** 2).sum()))
        return np.array(lengths)

    alpha = given.logits("fit").max(axis=1).mean() / residual(given.features("fit")).mean()
    z = given.logits(name)
    virtual = alpha * residual(given.features(name))
    return np.log(np.exp(z).sum(axis=1)) - virtual, -residual(given.features(name))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("shape", "dim"), [({}, 12), ({"d": 9, "k": 12}, 4), ({"d": 40, "k": 5, "n_fit": 300}, 20)])
@pytest.mark.parametrize("name", ["test", "ood"])
def test_second_writing(seed: int, shape: dict[str, int], dim: int, name: str) -> None:
    given = problem(seed, **shape)
    vim, residual = naive(given, dim, name)
    np.testing.assert_allclose(score("vim", given, name), vim, rtol=1e-9)  # d // 2 below 768
    np.testing.assert_allclose(score("residual", given, name), residual, rtol=1e-9)


def test_fewer_fit_rows_than_features() -> None:
    """Where the authors' eig goes complex. The null space of the fit rows is outside the principal space, and counts."""
    given = problem(1, d=30, n_fit=20)
    vim, residual = naive(given, 10, "test")
    np.testing.assert_allclose(score("residual:dim=10", given), residual, rtol=1e-8)
    np.testing.assert_allclose(score("vim:dim=10", given), vim, rtol=1e-8)


@pytest.mark.parametrize(("d", "dim"), [(2048, 1000), (2047, 512), (1024, 512), (768, 512), (767, 383), (512, 256)])
def test_the_dimension_rule_of_the_authors_benchmark(d: int, dim: int) -> None:
    assert principal_dim(None, d, "vim") == dim


@pytest.mark.parametrize("dim", [24, 25, 1000])
def test_a_dimension_that_leaves_nothing_is_refused(dim: int) -> None:
    with pytest.raises(Exception, match=rf"vim needs 0 < dim < 24 \(the feature size\), got dim={dim}"):
        fitted(f"vim:dim={dim}", problem())


def test_two_passes_serve_vim_and_its_alpha_is_kept() -> None:
    given = problem()
    alpha = fitted("vim", given).learned["alpha"]
    origin = -np.linalg.pinv(given.weight) @ given.bias
    values, vectors = np.linalg.eigh((given.features("fit") - origin).T @ (given.features("fit") - origin))
    assert values[0] <= values[-1]
    outside = (given.features("fit") - origin) @ vectors[:, :12]
    expected = given.logits("fit").max(axis=1).mean() / np.sqrt((outside**2).sum(axis=1)).mean()
    np.testing.assert_allclose(alpha, expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_residual_of_rounding_alone_is_refused(dtype: torch.dtype) -> None:
    """Features in a plane: what is left outside it is rounding, and alpha would make logits of it."""
    given = problem(relu=False)
    plane = np.linalg.qr(np.random.default_rng(0).normal(size=(24, 5)))[0]
    flat = {name: (rows @ plane @ plane.T, z, y) for name, (rows, z, y) in given.sets.items()}
    flat = {name: (rows, rows @ given.weight.T, y) for name, (rows, _, y) in flat.items()}
    without_bias = Problem(given.weight, np.zeros(7), flat)
    with pytest.raises(AssertionError, match="no component outside 12 dimensions beyond rounding"):
        score("vim", without_bias, dtype=dtype)
    assert np.isfinite(score("vim:dim=4", without_bias, dtype=dtype)).all()
