"""Activation shaping: each sample keeps its largest features, as they are, as one value, or magnified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.registry import rectifier
from ood_bench.types import FEATURES, HEAD, Info

PAPER = "Djurisic et al., ICLR 2023, arXiv:2209.09858"
ASSUMES = ("non-negative-features",)
Percent = Annotated[float, Range(0, 100, below=True)]


def n_kept(p: float, d: int, name: str) -> int:
    """How many of d features stay when p per cent are pruned: d - round(d p / 100), halves to the even side.

    A function of the numbers in the authors' code; d = 50 and p = 85 keep 8, not 7.
    """
    kept = d - round(d * p / 100)
    if kept < 1:
        raise CannotScore(f"{name} needs p that keeps at least one of {d} features, got p={p:g}")
    return kept


def feature_sum(batch: Batch) -> Float[Tensor, " n"]:
    """Sum of each row's features."""
    return batch.once("feature sum", lambda: batch.features.sum(dim=1))


def magnification(
    batch: Batch, total: Float[Tensor, " n"], kept: Float[Tensor, " n"], name: str
) -> Float[Tensor, " n"]:
    """total / kept, the ratio s1 / s2 of the sums of all and of the kept features; 1 for a row that is all zero.

    CannotScore where any other row's kept sum is not positive: the ratio would explode or change its sign.
    """
    falling = batch.top_features(batch.features.shape[1])
    empty = (falling[:, 0] == 0) & (falling[:, -1] == 0)
    bad = (kept <= 0) & ~empty
    if bool(bad.any()):
        row = int(bad.int().argmax())
        raise CannotScore(
            f"{name} needs features whose largest sum to a positive number (as after a ReLU), "
            f"but those of row {batch.start + row} sum to {float(kept[row]):.3g}"
        )
    return torch.where(empty, 1.0, total / torch.where(empty, 1.0, kept))


def magnified(ratio: Float[Tensor, " n"], name: str) -> Float[Tensor, "n 1"]:
    """exp(s1 / s2), by which a row is multiplied; the ratio can reach d over the number kept."""
    factor = ratio.exp()
    if bool(factor.isinf().any()):
        raise CannotScore(f"{name}: exp({float(ratio.max()):.3g}) overflows; keep more features (a smaller p)")
    return factor[:, None]


def kept_mask(batch: Batch, kept: int) -> Bool[Tensor, "n d"]:
    """Where each row's `kept` largest features are, exactly as many; of equal ones those that come first."""

    def mask() -> Tensor:
        features = batch.features
        smallest = batch.top_features(kept)[:, -1:]
        above, equal = features > smallest, features == smallest
        room = kept - above.sum(dim=1, keepdim=True)
        if bool((equal.sum(dim=1, keepdim=True) > room).any()):
            equal &= equal.cumsum(dim=1) <= room
        return above | equal

    return batch.once(("kept features", kept), mask)


@rectifier("ash-p", paper=PAPER, needs=(FEATURES, HEAD), assumes=ASSUMES)
@dataclass(frozen=True)
class AshP:
    """All but the largest (100 - p) % of a row's features set to 0."""

    p: Percent = 90.0

    def resolve(self, info: Info) -> AshP:
        n_kept(self.p, info.dim, "ash-p")
        return self

    def rectify(self, batch: Batch) -> Batch:
        features = batch.features
        return batch.replace(
            features=torch.where(kept_mask(batch, n_kept(self.p, features.shape[1], "ash-p")), features, 0.0)
        )


@rectifier("ash-b", paper=PAPER, needs=(FEATURES, HEAD), assumes=ASSUMES)
@dataclass(frozen=True)
class AshB:
    """The largest (100 - p) % of a row's features all set to s1 / k (s1 the sum of the row, k how many), the rest to 0.

    Where fewer than k features are positive, zeros are among the kept; of equal ones the first are taken, where the
    authors' `topk` leaves the choice to the library.
    """

    p: Percent = 90.0

    def resolve(self, info: Info) -> AshB:
        n_kept(self.p, info.dim, "ash-b")
        return self

    def rectify(self, batch: Batch) -> Batch:
        kept = n_kept(self.p, batch.features.shape[1], "ash-b")
        fill = (feature_sum(batch) / kept)[:, None]
        return batch.replace(features=torch.where(kept_mask(batch, kept), fill, 0.0))


@rectifier("ash-s", paper=PAPER, needs=(FEATURES, HEAD), assumes=ASSUMES)
@dataclass(frozen=True)
class AshS:
    """The largest (100 - p) % of a row's features times exp(s1 / s2), the rest 0; s1 sums all features, s2 the kept.

    p = 90 is the authors' for ImageNet (95 for CIFAR-10). A row of zeros stays zero.
    """

    p: Percent = 90.0

    def resolve(self, info: Info) -> AshS:
        n_kept(self.p, info.dim, "ash-s")
        return self

    def rectify(self, batch: Batch) -> Batch:
        features = batch.features
        kept = n_kept(self.p, features.shape[1], "ash-s")
        ratio = magnification(batch, feature_sum(batch), batch.top_features(kept).sum(dim=1), "ash-s")
        return batch.replace(features=torch.where(kept_mask(batch, kept), features * magnified(ratio, "ash-s"), 0.0))
