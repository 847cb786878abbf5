"""Statistics of the top-n-sigma sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import Info

PAPER = "Tang et al., ACL 2025 (top-n-sigma), arXiv:2411.07641; as a score: ours"


def spread(batch: Batch) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """How far the mean of a row's logits lies below the largest, and their standard deviation, with K - 1 below as in the
    authors' sampler. Both are exactly 0 where all logits are equal."""

    def compute() -> tuple[Tensor, Tensor]:
        # Two reads of one difference, where torch.std takes ten times as long. z_max - mean is at most sqrt(K) sigma, so
        # that moments about z_max instead of the mean cost half of the digits of K.
        k, below = batch.n_classes, batch.max_logit[:, None] - batch.logits
        mean = below.mean(dim=1)
        scatter = torch.linalg.vector_norm(below, dim=1).square() - k * mean.square()
        return mean, (scatter.clamp_min(0) / (k - 1)).sqrt()

    return batch.once("logit spread", compute)


@scorer("topnsigma", paper=PAPER, precision="float64")
@dataclass(frozen=True)
class TopNSigma:
    """(z_max - mean z) / sigma, how many sigmas the largest logit stands out; in [0, (K - 1) / sqrt(K)].

    sigma has K - 1 below. `maxlogit-pnorm:p=2` times sqrt(K - 1). A row whose logits are all equal scores 0. With two
    classes it is constant, and refused.
    """

    def resolve(self, info: Info) -> TopNSigma:
        _three_classes("topnsigma", info)
        return self

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        gap, sigma = spread(batch)
        return torch.where(sigma > 0, gap / sigma, 0.0)


@scorer("topnsigma-count", paper=PAPER, precision="float64")
@dataclass(frozen=True)
class TopNSigmaCount:
    """Minus the number of logits within n sigma of the largest (what the sampler keeps); a whole number in [-K, -1].

    Fewer candidates mean more confidence. n = 1 as commonly used (the authors try 0.3 to 1.5). With two classes it is
    constant, and refused.
    """

    n: Annotated[float, Range(0, above=True)] = 1.0

    def resolve(self, info: Info) -> TopNSigmaCount:
        _three_classes("topnsigma-count", info)
        return self

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        least = batch.max_logit - self.n * spread(batch)[1]
        return -(batch.logits >= least[:, None]).sum(dim=1).to(batch.logits)


def _three_classes(name: str, info: Info) -> None:
    if info.classes < 3:
        raise CannotScore(f"{name} is the same for every row unless there are 3 classes or more, got K={info.classes}")
