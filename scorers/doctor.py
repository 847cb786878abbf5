"""DOCTOR: the odds of an error, from the sum of squared probabilities or the largest probability."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer

PAPER = "Granese et al., NeurIPS 2021, arXiv:2106.02395"


def tail_squares(batch: Batch) -> Float[Tensor, " n"]:
    """Q = sum over the classes but the winner of exp(z_k - z_max)^2, so that sum_k p_k^2 = (1 + Q) / (1 + T)^2 with
    T = `tail_sum`, and 1 - sum_k p_k^2 = (2 T + T^2 - Q) / (1 + T)^2 without a difference of near-equal numbers."""
    return batch.once("tail squares", lambda: batch.tail.square().sum(dim=1))


@scorer("doctor-alpha", paper=PAPER)
@dataclass(frozen=True)
class DoctorAlpha:
    """-(1 - g) / g with g = sum_k p_k^2; in [1 - K, 0].

    Temperature 1 and no perturbation of the input, which a cache cannot answer.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        total, squares = batch.tail_sum, tail_squares(batch)
        return -(2 * total + (total.square() - squares)) / (1 + squares)


@scorer("doctor-beta", paper=PAPER)
@dataclass(frozen=True)
class DoctorBeta:
    """-(1 - p) / p with p the largest probability; in [1 - K, 0]. Without the perturbation it ranks as `msp`.

    Temperature 1 and no perturbation of the input, which a cache cannot answer.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -batch.tail_sum
