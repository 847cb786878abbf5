"""NNGuide: energy guided by the most similar confident fit rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.neighbours import NeighbourQuestion, keep_largest
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, LOGITS, Info


@dataclass(frozen=True)
class TopGuided:
    """The k largest cos(h, h_i) * logsumexp(z_i) over the fit rows, falling: (q, k)."""

    k: int

    def add(self, state: Tensor | None, queries: Batch, rows: Batch, cosine: Float[Tensor, "q m"]) -> Tensor:
        return keep_largest(state, cosine * rows.logsumexp, self.k)

    def widened(self, other: NeighbourQuestion) -> NeighbourQuestion | None:
        return replace(self, k=max(self.k, other.k)) if isinstance(other, TopGuided) else None

    def narrowed(self, answer: Float[Tensor, "q ..."]) -> Float[Tensor, "q ..."]:
        return answer[:, : self.k]


@scorer("nnguide", paper="Park et al., ICCV 2023, arXiv:2309.14888", needs=(LOGITS, FEATURES, FIT))
@dataclass(frozen=True)
class NNGuide:
    """logsumexp(z) times the mean of the k largest cos(h, h_i) logsumexp(z_i) over the fit rows.

    k = 10 and all fit rows, as the authors' code; OpenOOD takes k = 100 of the first 1 % of its loader. Never more than
    the fit rows. Where energies are negative the product ranks them as positive ones, as theirs does.
    """

    k: Annotated[int, Range(1)] = 10

    def resolve(self, info: Info) -> NNGuide:
        return replace(self, k=min(self.k, info.n_fit or self.k))

    @property
    def neighbours(self) -> tuple[TopGuided, ...]:
        return (TopGuided(self.k),)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return batch.logsumexp * batch.answer(self.neighbours[0]).mean(dim=1)
