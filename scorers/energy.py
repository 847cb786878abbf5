"""Energy score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.registry import scorer


@scorer("energy", paper="Liu et al., NeurIPS 2020, arXiv:2010.03759", aliases=("ebo",))
@dataclass(frozen=True)
class Energy:
    """T logsumexp(z / T), the negative free energy; T = 1 as in the authors' test.py."""

    temperature: Annotated[float, Range(0, above=True)] = 1.0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        if self.temperature == 1.0:
            return batch.logsumexp
        return self.temperature * (batch.logits / self.temperature).logsumexp(dim=1)
