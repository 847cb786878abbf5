"""ODIN's temperature alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.scorers.tempscale import log_confidence_at


@scorer(
    "odin-t", paper="Liang et al., ICLR 2018, arXiv:1706.02690; without the input perturbation", precision="float64"
)
@dataclass(frozen=True)
class OdinTemperature:
    """Log of the largest entry of softmax(z / T), T = 1000: ODIN without its input step; in [-log K, 0].

    The perturbation needs the network's gradient, which a cache cannot answer. At T = 1000 all rows lie within a few
    thousandths of each other, hence float64. As T grows the rank becomes that of `logitgap:n=all`.
    """

    temperature: Annotated[float, Range(0, above=True)] = 1000.0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return log_confidence_at(batch, self.temperature)
