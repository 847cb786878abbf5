"""Maximum logit."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer


@scorer("maxlogit", paper="Hendrycks et al., ICML 2022, arXiv:1911.11132", aliases=("mls", "max-logit"))
@dataclass(frozen=True)
class MaxLogit:
    """The largest logit. Not invariant to a constant added to a sample's logits; logitgap:n=all is the centred form."""

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return batch.max_logit
