"""Row-wise work by the faster library equals the plain way, for any counts, ties and numbers of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ood_bench import selection
from ood_bench.selection import argmax, dot_chosen, largest, largest_of_groups

RNG = np.random.default_rng(0)


def plain(values: Tensor, count: int) -> Tensor:
    return values.sort(dim=1, descending=True).values[:, :count]


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    monkeypatch.setattr(selection, "ENOUGH", 100)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "m", "count"), [(1, 1, 1), (2, 300, 299), (50, 7, 7), (200, 40, 3), (31, 64, 1)])
def test_the_largest_are_those_of_a_sort(n: int, m: int, count: int, dtype: torch.dtype) -> None:
    values = torch.randn(n, m, generator=torch.Generator().manual_seed(n * m), dtype=dtype)
    before = values.clone()
    assert torch.equal(largest(values, count), plain(values, count))
    assert torch.equal(values, before)


@settings(deadline=None, max_examples=100)
@given(n=st.integers(1, 5), m=st.integers(1, 400), levels=st.integers(1, 4), seed=st.integers(0, 10**6), data=st.data())
def test_groups_keep_the_largest_where_many_are_equal(
    n: int, m: int, levels: int, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, m))
    values = torch.randint(0, levels, (n, m), generator=torch.Generator().manual_seed(seed)).float()
    assert torch.equal(largest(largest_of_groups(values, count), count), plain(values, count))


def test_few_of_many_leaves_few_candidates() -> None:
    assert largest_of_groups(torch.zeros(2, 1600), 3).shape == (2, 3 * selection.GROUP)
    assert largest_of_groups(torch.zeros(2, 1600), 100).shape == (2, 1600)


def test_the_first_of_equal_ones_is_the_largest() -> None:
    rows = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -1.0, 5.0]])
    assert argmax(rows).tolist() == [1, 0, 2]


@pytest.mark.parametrize("n", [0, 1, 500])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dot_with_a_chosen_row(n: int, dtype: type[np.floating]) -> None:
    rows, table = RNG.normal(size=(n, 64)).astype(dtype), RNG.normal(size=(9, 64)).astype(dtype)
    chosen = RNG.integers(0, 9, n)
    found = dot_chosen(torch.from_numpy(rows), torch.from_numpy(table), torch.from_numpy(chosen))
    assert found.dtype == torch.from_numpy(rows).dtype
    exact = np.einsum("nd,nd->n", rows.astype(np.float64), table[chosen].astype(np.float64))
    np.testing.assert_allclose(found.numpy(), exact, rtol=0, atol=64 * np.finfo(dtype).eps * 8)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_selects_with_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "ENOUGH", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    rows = torch.from_numpy(RNG.normal(size=(4000, 100)))
    expected = largest(rows, 10)  # the parent's threads are there when it forks
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(largest(rows, 10), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
