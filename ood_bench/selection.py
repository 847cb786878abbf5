"""Row-wise pieces of work that are many times faster in one library than in another."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

ENOUGH = 1 << 18  # entries from which a second thread pays in a selection; in a maximum 16 times as many
PIECE = 1 << 18  # entries that a thread takes at a time: its copies then stay in its own cache
GROUP = 16  # entries whose maximum stands for them in the first stage of a selection


def largest(rows: Float[Tensor, "n m"], count: int) -> Float[Tensor, "n count"]:
    """The `count` largest of each row, falling."""
    if rows.device.type != "cpu":
        return rows.topk(count, dim=1).values
    values = rows.numpy()
    out = np.empty((len(values), count), dtype=values.dtype)

    def select(part: slice) -> None:
        out[part] = np.sort(_partitioned(values[part], count), axis=1)[:, ::-1]

    _by_rows(select, values, ENOUGH)
    return torch.from_numpy(out)


def argmax(rows: Float[Tensor, "n m"]) -> Int[Tensor, " n"]:
    """Where the largest of each row stands; the first one where several are equal."""
    if rows.device.type != "cpu":
        return rows.argmax(dim=1)
    values = rows.numpy()  # NumPy's argmax is vectorised; torch's takes nine times a row maximum
    out = np.empty(len(values), dtype=np.int64)
    _by_rows(lambda part: values[part].argmax(axis=1, out=out[part]), values, 2 * ENOUGH)
    return torch.from_numpy(out)


def dot_chosen(
    rows: Float[Tensor, "n d"], table: Float[Tensor, "K d"], chosen: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """<row i, table[chosen[i]]>. A sampled product on a CPU: it reads the table in place, without a copy of n rows."""
    if rows.device.type != "cpu" or rows.shape[0] == 0:
        dots: Tensor = torch.linalg.vecdot(rows, table.index_select(0, chosen))
        return dots
    n, k = len(rows), len(table)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        where = torch.sparse_csr_tensor(
            torch.arange(n + 1), chosen, rows.new_zeros(n), size=(n, k), check_invariants=False
        )
    products: Tensor = torch.sparse.sampled_addmm(where, rows, table.T, beta=0.0).values()
    return products


def largest_of_groups(rows: Float[Tensor, "n m"], count: int) -> Float[Tensor, "n c"]:
    """Fewer entries per row among which its `count` largest are: for few of many.

    The largest `count` lie in the `count` groups with the largest maxima, so that a maximum over groups (one vectorised
    read) leaves count * GROUP candidates and the rest that makes no whole group.
    """
    n, m = rows.shape
    groups = m // GROUP
    if groups <= 2 * count:
        return rows
    whole = rows[:, : groups * GROUP].reshape(n, GROUP, groups)
    best = whole.amax(dim=1).topk(count, dim=1, sorted=False).indices
    candidates = whole.gather(2, best[:, None, :].expand(n, GROUP, count)).flatten(1)
    return torch.cat([candidates, rows[:, groups * GROUP :]], dim=1)


def _partitioned(values: np.ndarray, count: int) -> np.ndarray:
    """NumPy's partition is vectorised, and takes a tenth of torch's topk."""
    m = values.shape[1]
    return values if count == m else np.partition(values, m - count, axis=1)[:, m - count :]


def _by_rows(work: Callable[[slice], object], values: np.ndarray, enough: int) -> None:
    """`work` for all rows, a piece at a time, on as many threads as torch has: NumPy has one, and lets others run."""
    n, threads = len(values), torch.get_num_threads()
    piece = max(1, PIECE // max(1, values[0].size)) if n else 1

    def share(first: int) -> None:
        for start in range(first * piece, n, threads * piece):
            work(slice(start, start + piece))

    if threads == 1 or values.size < enough:
        work(slice(None))
    else:  # this thread waits: were it to take a share, torch's idle threads, which spin for a while, would take its place
        list(_pool(threads, os.getpid()).map(share, range(threads)))


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay, with the memory they have used before. A forked process gets threads of its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="ood-bench-rows")
