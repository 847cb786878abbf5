"""Selections equal a plain sort, for any counts, ties and numbers of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ood_bench import selection
from ood_bench.selection import argmax, largest, largest_of_groups


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
