"""Maximum softmax probability."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer


@scorer("msp", paper="Hendrycks & Gimpel, ICLR 2017, arXiv:1610.02136")
@dataclass(frozen=True)
class MSP:
    """Log of the largest softmax probability, in (-inf, 0]; ranks as the probability itself.

    The log is -log1p(sum of the other exponentials), which still tells samples apart where the probability rounds to 1.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return batch.log_confidence
