"""Shannon entropy of the softmax."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer


def negative_entropy(batch: Batch) -> Float[Tensor, " n"]:
    """sum_k p_k log p_k, as sum_k p_k (z_k - z_max) + log p_max: two negative terms, so that nothing cancels, and no
    logarithm of a probability that is zero."""

    def compute() -> Tensor:
        below = (batch.logits - batch.max_logit[:, None]).mul_(batch.others).sum(dim=1)
        return below + batch.log_confidence

    return batch.once("negative entropy", compute)


@scorer("entropy", paper="Hendrycks & Gimpel, ICLR 2017, arXiv:1610.02136; Chan et al., ICCV 2021, arXiv:2012.06575")
@dataclass(frozen=True)
class Entropy:
    """Minus the Shannon entropy of the softmax, sum_k p_k log p_k, in nats; in [-log K, 0]."""

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return negative_entropy(batch)
