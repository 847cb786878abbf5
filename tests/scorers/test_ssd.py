"""SSD against the authors' route: standardise, then an explicit pseudo-inverse per cluster."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, fitted, problem, score

from ood_bench.errors import CannotScore
from ood_bench.scorers.ssd import k_means


def unit(given: Problem, name: str) -> np.ndarray:
    rows = given.features(name)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_one_cluster_second_writing() -> None:
    given = problem()
    rows = unit(given, "fit")
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    rows = (rows - mean) / std
    inverse = np.linalg.pinv(np.cov(rows.T, bias=True))
    for name in ("test", "ood"):
        queries = (unit(given, name) - mean) / std
        np.testing.assert_allclose(score("ssd", given, name), [-(q @ inverse @ q) for q in queries], rtol=1e-9)


def test_several_clusters_second_writing() -> None:
    given = problem()
    sampled = fitted("ssd:clusters=3,jitter=0", given).scorer.gaussians
    rows = unit(given, "fit")
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    # The clusters' means tell which row is whose: every row's cluster has the standardised mean nearest to it (Lloyd).
    inverses = [w @ w.T for w in sampled.whiteners.numpy()]
    centres = [
        np.linalg.solve(w.T, c) + sampled.origin.numpy()
        for w, c in zip(sampled.whiteners.numpy(), sampled.centres.numpy(), strict=True)
    ]
    near = np.argmin([np.linalg.norm((rows - c) / std, axis=1) for c in centres], axis=0)
    for g in range(3):
        members = rows[near == g]
        np.testing.assert_allclose(members.mean(axis=0), centres[g], rtol=1e-9)
        np.testing.assert_allclose(np.linalg.inv(np.cov(members.T, bias=True)), inverses[g], rtol=1e-7)
    expected = [-min((q - c) @ s @ (q - c) for c, s in zip(centres, inverses, strict=True)) for q in unit(given, "ood")]
    np.testing.assert_allclose(score("ssd:clusters=3,jitter=0", given, "ood"), expected, rtol=1e-9)
    assert mean.shape == (24,)


def test_k_means_finds_what_is_far_apart() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.tensor([[0.0, 0.0], [50.0, 0.0]], dtype=torch.float64)
    rows = truth.repeat(40, 1) + torch.randn(80, 2, generator=generator, dtype=torch.float64)
    centres = k_means(rows, 2, seed=0)
    found = centres[centres[:, 0].argsort()]
    assert torch.allclose(found, torch.stack([rows[::2].mean(dim=0), rows[1::2].mean(dim=0)]))


def test_more_clusters_than_rows_are_refused() -> None:
    with pytest.raises(CannotScore, match="clusters <= 30"):
        fitted("ssd:clusters=31", problem(n_fit=30))
