"""DICE: the head without the weights that contribute little."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import features
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Mean
from ood_bench.registry import rectifier
from ood_bench.types import FEATURES, FIT, HEAD, Head, Info


@rectifier("dice", paper="Sun & Li, ECCV 2022, arXiv:2111.09805", needs=(FEATURES, HEAD, FIT))
@dataclass(frozen=True)
class DICE:
    """W kept where mean(h) * W lies above its own p-th percentile over all K x d entries, 0 elsewhere; b as it is.

    The mean is over the fit set. p `auto`: 90, and 70 for K >= 1000, as the authors' CIFAR and ImageNet demos. The mask
    goes onto the head, so that scoring is one product; the authors multiply every sample with every weight.
    """

    p: Annotated[float, Range(0, 100)] | Literal["auto"] = "auto"

    def resolve(self, info: Info) -> DICE:
        return replace(self, p=70.0 if info.classes >= 1000 else 90.0) if self.p == "auto" else self

    def fit(self, head: Head) -> Fit:
        mean = yield Mean(features)
        contribution = mean * head.double.weight
        return FittedDICE(contribution > _percentile(contribution, float(self.p)))


@dataclass(frozen=True)
class FittedDICE:
    kept: Bool[Tensor, "K d"]

    def rectify_head(self, head: Head) -> Head:
        return Head(torch.where(self.kept.to(head.weight.device), head.weight, 0.0), head.bias)

    def rectify(self, batch: Batch) -> Batch:
        return batch.replace(head=self.rectify_head(batch.head))

    def learned(self) -> dict[str, float]:
        return {"kept": float(self.kept.double().mean())}


def _percentile(values: Float[Tensor, "..."], p: float) -> Float[Tensor, ""]:
    """The p-th percentile of all entries by numpy.percentile's linear rule; torch.quantile ends at 2^24 entries."""
    flat = values.flatten()
    position = p / 100 * (flat.numel() - 1)
    low = int(position)
    below = flat.kthvalue(low + 1).values
    above = flat.kthvalue(min(low + 2, flat.numel())).values
    return torch.lerp(below, above, position - low)
