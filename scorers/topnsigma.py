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


def sigma(batch: Batch) -> Float[Tensor, " n"]:
    """Standard deviation of a row's logits, with K - 1 below as in the authors' sampler; exactly 0 where all are equal."""

    def compute() -> Tensor:
        # torch.std takes ten times as long as these three passes
        below = batch.logits - batch.mean_logit[:, None]
        spread = (below.square_().sum(dim=1) / (batch.n_classes - 1)).sqrt()
        return torch.where(batch.logits.amin(dim=1) == batch.max_logit, 0.0, spread)

    return batch.once("logit sigma", compute)


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
        spread = sigma(batch)
        return torch.where(spread > 0, (batch.max_logit - batch.mean_logit) / spread, 0.0)


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
        least = batch.max_logit - self.n * sigma(batch)
        return -(batch.logits >= least[:, None]).sum(dim=1).to(batch.logits)


def _three_classes(name: str, info: Info) -> None:
    if info.classes < 3:
        raise CannotScore(f"{name} is the same for every row unless there are 3 classes or more, got K={info.classes}")
