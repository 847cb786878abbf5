"""Generalized entropy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import Info


@scorer("gen", paper="Liu et al., CVPR 2023 (GEN); the authors' benchmark.py")
@dataclass(frozen=True)
class GEN:
    """-sum over the M largest probabilities of p^gamma (1 - p)^gamma; in [-M / 4^gamma, 0].

    gamma = 0.1 and M = 100 as for ImageNet in the authors' benchmark.py; M is K where there are fewer classes, and
    recorded as such. Powers are taken of the logarithm, and 1 - p of the largest is the sum of the others, so the score
    tells rows apart whose largest probability rounds to 1.
    """

    gamma: Annotated[float, Range(0, above=True)] = 0.1
    m: Annotated[int, Range(1)] = 100

    def resolve(self, info: Info) -> GEN:
        return replace(self, m=min(self.m, info.classes))

    def wants_top(self, n_classes: int) -> int:
        return self.m if self.m < n_classes else 0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        if self.m < batch.n_classes:
            logits, winner = batch.top(self.m), torch.zeros_like(batch.predicted)
        else:  # needs no order
            logits, winner = batch.logits, batch.predicted
        log_p = logits - batch.logsumexp[:, None]
        terms = ((log_p + (1 - log_p.exp().clamp_max(0.5)).log()) * self.gamma).exp()  # only the winner passes 1/2
        log_winner = self.gamma * (2 * batch.log_confidence + batch.odds.log())
        return -terms.scatter(1, winner[:, None], log_winner.exp()[:, None]).sum(dim=1)
