"""Neural relation graph: the sum of a row's relations with all fit rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.neighbours import NeighbourQuestion
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, LOGITS


@dataclass(frozen=True)
class SumOfRelations:
    """sum_i r_i^pow over the fit rows with r_i = max(cos(h, h_i), 0) <p, p_i> > threshold: (q,), in float64."""

    pow: float
    threshold: float

    def add(self, state: Tensor | None, queries: Batch, rows: Batch, cosine: Float[Tensor, "q m"]) -> Tensor:
        relation = (queries.probabilities @ rows.probabilities.T).mul_(cosine)
        # A threshold of at least 0 also does the work of max(cos, 0): <p, p_i> is never negative.
        relation = torch.nn.functional.threshold(relation, self.threshold, 0.0, inplace=True)
        total: Tensor = (relation if self.pow == 1 else relation.pow_(self.pow)).sum(dim=1).double()
        return total if state is None else state + total

    def widened(self, other: NeighbourQuestion) -> NeighbourQuestion | None:
        return self if other == self else None

    def narrowed(self, answer: Float[Tensor, "q ..."]) -> Float[Tensor, "q ..."]:
        return answer


@scorer("relation", paper="Kim et al., NeurIPS 2023, arXiv:2301.12321", needs=(LOGITS, FEATURES, FIT))
@dataclass(frozen=True)
class Relation:
    """sum_i r_i^pow over fit rows with r_i > threshold; r_i = max(cos(h, h_i), 0) <p, p_i>, p = softmax(z); in [0, n_fit].

    The threshold is put to r_i before the power, as in the authors' code. pow 1 is what they advise for OOD detection (4
    is their setting for label noise, 8 for speech) and OpenOOD's default. A row that relates to nothing scores 0.
    """

    pow: Annotated[float, Range(0, above=True)] = 1.0
    threshold: Annotated[float, Range(0, 1)] = 0.03

    @property
    def neighbours(self) -> tuple[SumOfRelations, ...]:
        return (SumOfRelations(self.pow, self.threshold),)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return batch.answer(self.neighbours[0])
