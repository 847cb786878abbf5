"""Margin between the two largest probabilities."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer


@scorer("margin", paper="Scheffer et al., IDA 2001 (as a confidence); LogitGap's released code")
@dataclass(frozen=True)
class Margin:
    """(p_1 - p_2) - 1 of the two largest probabilities, in [-1, 0]; ranks as the margin p_1 - p_2.

    Written as -(sum of the probabilities beside the largest) - p_2. The margin itself rounds to 1 for confident rows, and
    the distance to 1 does not.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -(batch.others_sum + batch.others.amax(dim=1))
