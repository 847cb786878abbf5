"""Order statistics of a column over a whole bank, exact whatever the split into batches."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import Column, features
from ood_bench.reductions import Question, Split


@dataclass(frozen=True)
class Digits:
    """Counts of the next `bits` bits of a column's values, among values that begin with the bits known so far.

    One step of an exact radix selection over the floats' own bits. Positive floats are ordered as their bits are and
    negative ones the other way round, so the counts of negative ones are turned at the end, not every value. Counts are
    integers: the answer is exact and does not depend on the split.
    """

    of: Column
    bits: int
    known: int  # how many leading bits are known already
    prefixes: tuple[
        tuple[int, ...], ...
    ]  # per wanted statistic: the known bits as a signed integer, one for each column
    per_column: bool
    split: Split = "fit"

    def add(self, partial: tuple[int, list[Tensor]] | None, batch: Batch) -> tuple[int, list[Tensor]]:
        rows = self.of(batch)
        raw = rows.contiguous().view(torch.int32 if rows.dtype == torch.float32 else torch.int64)
        width = torch.iinfo(raw.dtype).bits
        leading = raw >> (width - self.known - self.bits)  # with the sign
        size = (1 << self.bits) * (rows.shape[1] if self.per_column else 1)
        cells = leading & ((1 << self.bits) - 1) if self.known else leading + (1 << (self.bits - 1))
        if self.per_column:
            cells += torch.arange(rows.shape[1], dtype=raw.dtype, device=rows.device) << self.bits
        begins = leading.bitwise_right_shift_(self.bits) if self.known else None
        counts = []
        for prefix in dict.fromkeys(self.prefixes):
            known = torch.tensor(prefix, dtype=raw.dtype, device=raw.device)
            counts.append(_counts(cells, None if begins is None else begins == known, size))
        return (width, counts) if partial is None else self.merge(partial, (width, counts))

    def merge(self, a: tuple[int, list[Tensor]], b: tuple[int, list[Tensor]]) -> tuple[int, list[Tensor]]:
        return a[0], [x + y for x, y in zip(a[1], b[1], strict=True)]

    def result(self, partial: tuple[int, list[Tensor]]) -> tuple[int, Int[Tensor, "s c b"]]:
        """Bits of the floating type; counts by statistic, column and digit, digits in the order of the values."""
        counts = dict(zip(dict.fromkeys(self.prefixes), partial[1], strict=True))
        found = torch.stack([counts[prefix] for prefix in self.prefixes])
        found = found.reshape(len(self.prefixes), -1, 1 << self.bits).cpu()
        if not self.known:
            half = 1 << (self.bits - 1)
            return partial[0], torch.cat([found[..., :half].flip(-1), found[..., half:]], dim=-1)
        negative = torch.tensor(self.prefixes)[..., None] < 0
        return partial[0], torch.where(negative, found.flip(-1), found)


def quantile(
    q: float, *, of: Column = features, per_column: bool = False, split: Split = "fit"
) -> Generator[Question[Any, Any], Any, Float[Tensor, "..."]]:
    """The q-quantile over all entries of a column (or of each of its columns), by numpy.quantile's linear rule: exact.

    Used inside a fit as `threshold = yield from quantile(0.9)`. float32 takes two passes (four for each column apart).
    """
    step = 8 if per_column else 16
    width, counts = yield Digits(of, step, 0, ((),), per_column, split)
    count = int(counts[0, 0].sum())
    position = q * (count - 1)
    low = int(position)
    wanted = torch.tensor(sorted({low, min(low + 1, count - 1)}))[:, None]  # ranks of the two neighbours
    counts = counts.expand(len(wanted), -1, -1)
    keys = torch.zeros(
        counts.shape[:2], dtype=torch.int64
    )  # known bits of an integer that is ordered as the floats are
    known = 0
    while True:
        upto = counts.cumsum(dim=2)
        digit = (upto <= wanted[..., None]).sum(dim=2)
        below = torch.where(digit > 0, upto.gather(2, (digit - 1).clamp_min(0)[..., None]).squeeze(2), 0)
        wanted = wanted - below
        keys = (keys << step) | digit
        known += step
        raw = _own_bits(keys, known)
        if known == width:
            break
        prefixes = tuple(tuple(row) for row in raw.tolist())
        _, counts = yield Digits(of, step, known, prefixes, per_column, split)
    values = (raw.to(torch.int32).view(torch.float32) if width == 32 else raw.view(torch.float64)).double()
    between = torch.lerp(values[0], values[-1], position - low)
    return between if per_column else between.squeeze(0)


def _own_bits(keys: Int[Tensor, "..."], known: int) -> Int[Tensor, "..."]:
    """The leading bits of the floats themselves, as signed integers, from leading bits in the order of the values."""
    half = 1 << (known - 1)
    if known == 64:  # the highest bit is the sign of the integer already
        return torch.where(keys < 0, keys ^ torch.iinfo(torch.int64).min, ~keys)
    return torch.where(keys >= half, keys - half, ~keys)


def _counts(cells: Int[Tensor, "..."], counted: Tensor | None, size: int) -> Int[Tensor, " size"]:
    """How often each of 0 .. size - 1 stands among the cells that are counted."""
    if cells.device.type == "cpu":
        return torch.bincount((cells if counted is None else cells[counted]).reshape(-1), minlength=size)
    # On a GPU `bincount` and a mask wait for the device; one cell more for what is not counted does not.
    cells = cells.long() if counted is None else torch.where(counted, cells, size).long()
    counts = torch.zeros(size + 1, dtype=torch.int64, device=cells.device)
    return counts.scatter_add_(0, cells.reshape(-1), torch.ones_like(cells).reshape(-1))[:size]
