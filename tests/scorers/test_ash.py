from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, problem, score

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.scorers.ash import AshB, kept_mask, n_kept
from ood_bench.types import Head


def naive(row: np.ndarray, p: float, variant: str) -> np.ndarray:
    """One row shaped: sort by (value falling, position rising), keep the first."""
    d = len(row)
    kept = d - int(np.round(d * p / 100))
    order = sorted(range(d), key=lambda j: (-row[j], j))[:kept]
    shaped = np.zeros(d)
    for j in order:
        shaped[j] = row[j] if variant != "b" else row.sum() / kept
    if variant == "s":
        shaped *= np.exp(row.sum() / sum(row[j] for j in order))
    return shaped


def naive_energy(given: Problem, name: str, p: float, variant: str) -> np.ndarray:
    rows = np.array([naive(row, p, variant) for row in given.features(name)])
    energy: np.ndarray = np.logaddexp.reduce(rows @ given.weight.T + given.bias, axis=1)
    return energy


@pytest.mark.parametrize("variant", ["p", "b", "s"])
@pytest.mark.parametrize("p", [90, 65, 50, 0])
@pytest.mark.parametrize("name", ["test", "ood"])
def test_against_row_by_row(variant: str, p: float, name: str) -> None:
    given = problem(10)  # after a ReLU about a third of the entries are zero, so that at p = 0 zeros are among the kept
    spec = f"ash-{variant}" if p == 90 else f"ash-{variant}:p={p}"
    np.testing.assert_allclose(score(spec, given, name, rows=13), naive_energy(given, name, p, variant), rtol=1e-9)


@pytest.mark.parametrize(("d", "p", "kept"), [(50, 85.0, 8), (12, 50.0, 6), (10, 95.0, 0), (2048, 90.0, 205)])
def test_number_kept_rounds_halves_to_even(d: int, p: float, kept: int) -> None:
    if kept == 0:
        with pytest.raises(CannotScore, match="ash-s needs p that keeps at least one of 10 features, got p=95"):
            n_kept(p, d, "ash-s")
    else:
        assert n_kept(p, d, "ash-s") == kept


def test_exactly_as_many_are_kept_whatever_the_ties() -> None:
    rows = torch.tensor([[0.0, 1, 1, 1, 0, 1], [2, 2, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0.0]])
    mask = kept_mask(Batch(features=rows), 3)
    assert mask.sum(dim=1).tolist() == [3, 3, 3, 3]
    assert mask[0].tolist() == [False, True, True, True, False, False]
    assert mask[1].tolist() == [True, True, True, False, False, False]
    assert mask[3].tolist() == [True, True, True, False, False, False]


def test_one_selection_serves_all_that_keep_as_many_and_nothing_is_modified() -> None:
    rows = torch.rand(5, 20, generator=torch.Generator().manual_seed(0))
    batch = Batch(features=rows, head=Head(torch.rand(3, 20), torch.zeros(3)))
    before = rows.clone()
    AshB(p=80.0).rectify(batch)
    first = batch.held()[("kept features", 4)]
    AshB(p=80.0).rectify(batch)
    assert batch.held()[("kept features", 4)] is first
    assert torch.equal(rows, before)


@pytest.mark.parametrize("name", ["ash-s", "scale"])
def test_sums_that_are_not_positive_are_refused(name: str) -> None:
    given = problem(11)
    given.sets["test"][0][3] = -1.0
    given.sets["test"][1][3] = given.bias - given.weight.sum(axis=1)
    with pytest.raises(
        AssertionError, match=f"{name} needs features whose largest sum to a positive number.* of row 3"
    ):
        score(name, given)


@pytest.mark.parametrize("name", ["ash-p", "ash-b", "ash-s", "scale", "lts"])
def test_a_row_of_zeros_has_the_energy_of_the_bias(name: str) -> None:
    given = problem(12)
    given.sets["test"][0][5] = 0.0
    given.sets["test"][1][5] = given.bias
    assert score(name, given)[5] == pytest.approx(np.log(np.exp(given.bias).sum()), rel=1e-12)


def test_a_magnification_that_overflows_is_refused() -> None:
    given = problem(13, d=1200, k=3, n_fit=20, n=4)
    with pytest.raises(AssertionError, match=r"ash-s: exp.* overflows; keep more features"):
        score("ash-s:p=99.9", given, dtype=torch.float32)
