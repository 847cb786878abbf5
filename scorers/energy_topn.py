"""Energy of the largest logits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import Info


@scorer("energy-topn", paper="baseline `energy_topN` of LogitGap's released code, arXiv:2510.20134")
@dataclass(frozen=True)
class EnergyTopN:
    """logsumexp of the n largest logits; n `auto` is 10 % of K.

    n = K // 10, at least 1, where the released code's slice takes all K for K < 10. Range (-inf, inf).
    """

    n: Annotated[int, Range(1)] | Literal["auto"] = "auto"

    def resolve(self, info: Info) -> EnergyTopN:
        k = info.classes
        n = max(1, k // 10) if isinstance(self.n, str) else self.n
        if n > k:
            raise CannotScore(f"energy-topn needs 1 <= n <= {k} (the number of classes), got n={n}")
        return replace(self, n=n)

    def wants_top(self, n_classes: int) -> int:
        return self.n if isinstance(self.n, int) and 1 < self.n < n_classes else 0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        if self.n == 1:
            return batch.max_logit
        if self.n == batch.n_classes:
            return batch.logsumexp
        below = batch.top(int(self.n))[:, 1:] - batch.max_logit[:, None]
        return batch.max_logit + below.exp_().sum(dim=1).log1p()
