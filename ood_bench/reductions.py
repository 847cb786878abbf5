"""Questions that a fit may ask of a bank. Each is associative and in float64: any split into batches, or over workers,
gives the same answer (to rounding), and its memory does not grow with the number of rows.

A question is a frozen value. Equal questions of several scorers are answered once. `split` says which bank is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import scipy.linalg.blas
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import Column, features
from ood_bench.errors import CannotScore

Split: TypeAlias = Literal["fit", "val", "target"]
P = TypeVar("P")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


@runtime_checkable
class Question(Protocol[P, R_co]):
    """What the engine asks of a bank, batch by batch. `add` may modify and return the partial it was given."""

    @property
    def split(self) -> Split: ...

    def add(self, partial: P | None, batch: Batch) -> P: ...

    def merge(self, a: P, b: P) -> P: ...

    def result(self, partial: P) -> R_co: ...


# What a generator-style `fit` is: it yields questions, receives their results, returns the fitted scorer.
Fit: TypeAlias = Generator["Question[Any, Any] | tuple[Question[Any, Any], ...]", Any, Any]


# -- moments ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MomentsResult:
    """Count, mean and centred scatter sum (x - mean)(x - mean)^T, in float64."""

    n: int
    mean: Float[Tensor, " d"]
    scatter: Float[Tensor, "d d"]

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """Scatter / n, the maximum-likelihood covariance."""
        return self.scatter / self.n

    def about(self, point: Float[Tensor, " d"]) -> Float[Tensor, "d d"]:
        """Second moment about another point, sum (x - point)(x - point)^T / n: a rank-one shift of the scatter."""
        shift = self.mean - point
        return self.covariance + torch.outer(shift, shift)

    @cached_property
    def _kept(self) -> dict[Hashable, Any]:
        return {}

    def keep(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned the first time `key` was asked for: what scorers derive from these moments and share."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[no-any-return]  # what `make` returned

    def spectrum(self, point: Float[Tensor, " d"] | None = None) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
        """Eigenvalues (rising) and eigenvectors (columns) of the second moment about `point`, by default the mean.

        Kept, so that scorers (and values of one hyper-parameter) which share a point share the decomposition.
        """
        key = b"" if point is None else point.cpu().numpy().tobytes()

        def make() -> tuple[Tensor, Tensor]:
            values, vectors = torch.linalg.eigh(self.covariance if point is None else self.about(point))
            return values, vectors

        return self.keep(("spectrum", key), make)


@dataclass(eq=False)
class _MomentsPartial:
    n: int
    shift: Tensor  # rows are summed about the first batch's mean, so that a large mean costs no digits
    total: Tensor
    scatter: Tensor


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred scatter of a column with d entries per row. One float64 rank-n update per batch."""

    of: Column = features
    split: Split = "fit"

    def add(self, partial: _MomentsPartial | None, batch: Batch) -> _MomentsPartial:
        rows = self.of(batch)
        if partial is None:
            d, shift = rows.shape[1], rows.mean(dim=0, dtype=torch.float64)
            zeros = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
            partial = _MomentsPartial(0, shift, torch.zeros_like(shift), zeros.T)
        centred = rows - partial.shift  # in float64, as the shift is
        partial.n += len(rows)
        partial.total += centred.sum(dim=0)
        _add_gram(partial.scatter, centred)
        return partial

    def merge(self, a: _MomentsPartial, b: _MomentsPartial) -> _MomentsPartial:
        move = b.shift - a.shift  # b's sums, told about a's shift
        cross = torch.outer(b.total, move)
        a.n += b.n
        a.scatter += _symmetric(b.scatter) + cross + cross.T + b.n * torch.outer(move, move)
        a.total += b.total + b.n * move
        return a

    def result(self, partial: _MomentsPartial) -> MomentsResult:
        offset = partial.total / partial.n
        scatter = _symmetric(partial.scatter) - partial.n * torch.outer(offset, offset)
        return MomentsResult(partial.n, partial.shift + offset, scatter)


def _add_gram(scatter: Float[Tensor, "d d"], rows: Float[Tensor, "n d"]) -> None:
    """scatter += rows^T rows in place; on the CPU by BLAS dsyrk, which does half the work of a product.

    dsyrk fills the upper triangle alone, so `scatter` is read through `_symmetric`.
    """
    if rows.device.type == "cpu":
        # Both views are column-major without a copy: `scatter` was made as the transpose of a row-major square.
        scipy.linalg.blas.dsyrk(1.0, rows.T.numpy(), beta=1.0, c=scatter.numpy(), overwrite_c=1)
    else:
        scatter.addmm_(rows.T, rows)


def _symmetric(upper: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    return upper.triu() + upper.triu(1).T


# -- means --------------------------------------------------------------------------------------------------------------


PORTION = 128  # rows on a CPU of which a float64 copy, or sums, stay in its caches


def _portions(rows: Shaped[Tensor, "n ..."]) -> tuple[Shaped[Tensor, "m ..."], ...]:
    """The rows a few at a time on a CPU, all at once on a GPU."""
    return rows.split(PORTION) if rows.device.type == "cpu" else (rows,)


def _sum_rows(rows: Shaped[Tensor, "n ..."]) -> Float[Tensor, "..."]:
    """Sum in float64. On a CPU portions are added up entry by entry first: torch's sum over rows takes three times that."""
    if rows.device.type != "cpu" or len(rows) <= PORTION:
        return rows.sum(dim=0, dtype=torch.float64)
    first, *others = _portions(rows)
    total = first.to(torch.float64, copy=True)
    for few in others:
        total[: len(few)].add_(few)
    return total.sum(dim=0)


@dataclass(frozen=True)
class Mean:
    """Mean over the rows of a column with any shape per row, in float64."""

    of: Column
    split: Split = "fit"

    def add(self, partial: tuple[int, Tensor] | None, batch: Batch) -> tuple[int, Tensor]:
        rows = self.of(batch)
        total = _sum_rows(rows)
        return (len(rows), total) if partial is None else (partial[0] + len(rows), partial[1] + total)

    def merge(self, a: tuple[int, Tensor], b: tuple[int, Tensor]) -> tuple[int, Tensor]:
        return a[0] + b[0], a[1] + b[1]

    def result(self, partial: tuple[int, Tensor]) -> Float[Tensor, "..."]:
        return partial[1] / partial[0]


@dataclass(frozen=True, eq=False)
class ClassMeansResult:
    """Rows per class, and the mean of each class; a class without rows has count 0 and NaN means."""

    counts: Int[Tensor, " K"]
    sums: Float[Tensor, "K m"]

    @property
    def means(self) -> Float[Tensor, "K m"]:
        return self.sums / self.counts[:, None]

    @property
    def present(self) -> Int[Tensor, " C"]:
        """The classes that have rows."""
        return self.counts.nonzero().squeeze(1)

    @cached_property
    def between(self) -> Float[Tensor, "m m"]:
        """Scatter of the class means about the overall mean, weighted by counts: total - between = within."""
        counts = self.counts[self.present].double()
        means = self.means[self.present]
        centred = (means - (counts @ means) / counts.sum()) * counts.sqrt()[:, None]
        return centred.T @ centred


@dataclass(frozen=True)
class ClassMeans:
    """Mean per class of a column, rows grouped by `label`, by `predicted` class, or by label where that is predicted
    (`correct`; the other rows are left out). Rows without a label are left out of `label` and `correct`."""

    by: Literal["label", "predicted", "correct"] = "label"
    of: Column = features
    split: Split = "fit"

    def add(self, partial: ClassMeansResult | None, batch: Batch) -> ClassMeansResult:
        rows = self.of(batch)
        groups = batch.predicted if self.by == "predicted" else batch.labels
        keep = groups >= 0
        if self.by == "correct":
            keep &= groups == batch.predicted
        if partial is None:  # one group more, which takes the rows that are left out: no waiting for how many there are
            size = batch.n_classes + 1
            zeros = torch.zeros(size, rows.shape[1], dtype=torch.float64, device=rows.device)
            partial = ClassMeansResult(torch.zeros(size, dtype=torch.int64, device=rows.device), zeros)
        groups = torch.where(keep, groups, len(partial.counts) - 1)
        partial.counts.index_add_(0, groups, torch.ones_like(groups))
        for few, theirs in zip(_portions(rows), _portions(groups), strict=True):
            partial.sums.index_add_(0, theirs, few.double())
        return partial

    def merge(self, a: ClassMeansResult, b: ClassMeansResult) -> ClassMeansResult:
        return ClassMeansResult(a.counts + b.counts, a.sums + b.sums)

    def result(self, partial: ClassMeansResult) -> ClassMeansResult:
        found = ClassMeansResult(partial.counts[:-1], partial.sums[:-1])
        if int(found.counts.sum()) == 0:
            raise CannotScore(f"the {self.split} set has no row to group by {self.by} class")
        return found


# -- rows ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Collect:
    """The column itself, every row in order: for a few numbers per row, since this one grows with n."""

    of: Column
    split: Split = "fit"

    def add(self, partial: list[tuple[int, Tensor]] | None, batch: Batch) -> list[tuple[int, Tensor]]:
        return [*(partial or []), (batch.start, self.of(batch))]

    def merge(self, a: list[tuple[int, Tensor]], b: list[tuple[int, Tensor]]) -> list[tuple[int, Tensor]]:
        return a + b

    def result(self, partial: list[tuple[int, Tensor]]) -> Shaped[Tensor, "n ..."]:
        return torch.cat([rows for _, rows in sorted(partial, key=lambda item: item[0])])


@dataclass(frozen=True)
class Sample:
    """`n` rows of a column drawn without replacement, the same ones for the same seed whatever the batches.

    Each row's place in the bank is hashed with the seed and the n smallest hashes win; rows come in that order.
    """

    n: int
    seed: int
    of: Column = features
    split: Split = "fit"

    def add(self, partial: tuple[Tensor, Tensor] | None, batch: Batch) -> tuple[Tensor, Tensor]:
        rows = self.of(batch)
        place = torch.arange(batch.start, batch.start + len(rows), device=rows.device)
        here = self._smallest(_hash(place, self.seed), rows)
        return here if partial is None else self.merge(partial, here)

    def merge(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self._smallest(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]]))

    def result(self, partial: tuple[Tensor, Tensor]) -> Float[Tensor, "m ..."]:
        return partial[1]

    def _smallest(self, priority: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        order = priority.argsort()[: self.n]
        return priority[order], rows[order]


def _hash(place: Int[Tensor, " n"], seed: int) -> Int[Tensor, " n"]:
    """SplitMix64 of the row number and the seed: a fixed pseudo-random order, the same on every device."""
    word = place + _int64(seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15)
    word = (word ^ _shift_right(word, 30)) * _int64(0xBF58476D1CE4E5B9)
    word = (word ^ _shift_right(word, 27)) * _int64(0x94D049BB133111EB)
    return word ^ _shift_right(word, 31)


def _shift_right(word: Tensor, by: int) -> Tensor:
    return (word >> by) & ((1 << (64 - by)) - 1)


def _int64(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value
