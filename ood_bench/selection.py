"""Row-wise pieces of work that are many times faster in one library than in another: selections and exponentials."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

ENOUGH = 1 << 18  # entries from which a second thread pays
GROUP = 16  # entries whose maximum stands for them in the first stage of a selection


def largest(rows: Float[Tensor, "n m"], count: int) -> Float[Tensor, "n count"]:
    """The `count` largest of each row, falling."""
    if rows.device.type != "cpu":
        return rows.topk(count, dim=1).values
    return _by_rows(lambda values: np.sort(_partitioned(values, count), axis=1)[:, ::-1], rows, count)


def argmax(rows: Float[Tensor, "n m"]) -> Int[Tensor, " n"]:
    """Where the largest of each row stands; the first one where several are equal."""
    if rows.device.type == "cpu":  # NumPy's argmax is vectorised; torch's takes nine times a row maximum
        return torch.from_numpy(rows.numpy().argmax(axis=1))
    return rows.argmax(dim=1)


def exp_(values: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """exp in place. One thread of NumPy's float32 exp is as fast as two of torch's."""
    if values.device.type == "cpu" and values.dtype == torch.float32 and torch.get_num_threads() <= 2:
        np.exp(values.numpy(), out=values.numpy())
        return values
    return values.exp_()


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


def _by_rows(select: Callable[[np.ndarray], np.ndarray], rows: Tensor, count: int) -> Tensor:
    """`select` of all rows, a share of them on each of torch's threads: NumPy has one thread and lets others run."""
    values, threads = rows.numpy(), torch.get_num_threads()
    out = np.empty((len(values), count), dtype=values.dtype)

    def fill(part: slice) -> None:
        out[part] = select(values[part])

    if threads == 1 or values.size < ENOUGH:
        fill(slice(None))
    else:
        edges = np.linspace(0, len(values), threads + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, map(slice, edges[:-1], edges[1:])))
    return torch.from_numpy(out)
