"""Row-wise work by the faster library: what NumPy says, in one piece and in many, with one thread and with several."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ood_bench import selection
from ood_bench.selection import argmax, dot_chosen, largest, largest_of_groups

RNG = np.random.default_rng(0)
SHAPES = [(0, 7), (1, 1), (5, 3), (700, 1000), (1, 300_000)]


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_of_each_row_fall(
    shape: tuple[int, int], dtype: type[np.floating], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "ENOUGH", 1000)
    rows = RNG.normal(size=shape).astype(dtype)
    for count in sorted({1, max(1, shape[1] // 5), shape[1]}):
        expected = -np.sort(-rows, axis=1)[:, :count]
        np.testing.assert_array_equal(largest(torch.from_numpy(rows), count).numpy(), expected)
        candidates = largest_of_groups(torch.from_numpy(rows), count)
        np.testing.assert_array_equal(largest(candidates, count).numpy(), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_argmax_is_the_first_of_the_largest(
    shape: tuple[int, int], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "ENOUGH", 1000)
    rows = RNG.integers(0, 5, shape).astype(np.float32)
    np.testing.assert_array_equal(argmax(torch.from_numpy(rows)).numpy(), rows.argmax(axis=1))


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
