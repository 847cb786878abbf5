"""DOCTOR: the odds of an error, from the sum of squared probabilities or the largest probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer

PAPER = "Granese et al., NeurIPS 2021, arXiv:2106.02395"


def gini(batch: Batch) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """1 - g and g, with g = sum_k p_k^2. With r the sum and Q the sum of squares of the probabilities beside the largest,
    1 - g = 1 - (1 - r)^2 - Q = 2 r - r^2 - Q, which has no difference of near-equal numbers where r is small."""

    def compute() -> tuple[Tensor, Tensor]:
        rest, squares = batch.others_sum, torch.linalg.vector_norm(batch.others, dim=1).square()
        return 2 * rest - (rest.square() + squares), batch.confidence.square() + squares

    return batch.once("gini", compute)


@scorer("doctor-alpha", paper=PAPER)
@dataclass(frozen=True)
class DoctorAlpha:
    """-(1 - g) / g with g = sum_k p_k^2; in [1 - K, 0].

    Temperature 1 and no perturbation of the input, which a cache cannot answer.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        missing, present = gini(batch)
        return -missing / present


@scorer("doctor-beta", paper=PAPER)
@dataclass(frozen=True)
class DoctorBeta:
    """-(1 - p) / p with p the largest probability; in [1 - K, 0]. Without the perturbation it ranks as `msp`.

    Temperature 1 and no perturbation of the input, which a cache cannot answer.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -batch.odds
