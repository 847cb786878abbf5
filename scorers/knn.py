"""Distance to the k-th nearest fit row, on the unit sphere or of the features as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.neighbours import NeighbourQuestion, TopCosine, keep_largest
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, Info


@dataclass(frozen=True)
class Nearest:
    """Minus the squared distances to the k nearest fit rows, features as they are, falling: (q, k).

    |a|^2 - 2ab + |b|^2 cancels where two rows are near: in float64 that costs digits which float32 scores do not have.
    """

    k: int

    def add(self, state: Tensor | None, queries: Batch, rows: Batch, cosine: Float[Tensor, "q m"]) -> Tensor:
        here, there = queries.double.features, rows.double.features
        lengths = torch.linalg.vector_norm(there, dim=1).square()
        closeness = torch.addmm(-lengths, here, there.T, alpha=2)
        closeness -= torch.linalg.vector_norm(here, dim=1).square()[:, None]
        return keep_largest(state, closeness, self.k)

    def widened(self, other: NeighbourQuestion) -> NeighbourQuestion | None:
        return replace(self, k=max(self.k, other.k)) if type(other) is type(self) else None

    def narrowed(self, answer: Float[Tensor, "q ..."]) -> Float[Tensor, "q ..."]:
        return answer[:, : self.k]


@scorer("knn", paper="Sun et al., ICML 2022, arXiv:2204.06507", needs=(FEATURES, FIT))
@dataclass(frozen=True)
class KNN:
    """Minus the Euclidean distance of h / |h| to its k-th nearest h_i / |h_i| among the fit rows; in [-2, 0].

    k `auto`: the authors' 1000 from K = 1000 on (ImageNet), else 50 (CIFAR); never more than the fit rows. The distance
    is sqrt(2 - 2 cos): a row of zeros has cosine 0 with all and stands at sqrt(2). The whole fit set is searched; the
    authors' 1 % subsets for ImageNet are a matter of the fit set. `unit=false`: the distance between features as they
    are, which the paper advises against and pytorch-ood offers.
    """

    k: Annotated[int, Range(1)] | Literal["auto"] = "auto"
    unit: bool = True

    def resolve(self, info: Info) -> KNN:
        k = self.k if isinstance(self.k, int) else 1000 if (info.n_classes or 0) >= 1000 else 50
        return replace(self, k=min(k, info.n_fit or k))

    @property
    def neighbours(self) -> tuple[TopCosine | Nearest, ...]:
        return (TopCosine(int(self.k)) if self.unit else Nearest(int(self.k)),)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        kth = batch.answer(self.neighbours[0])[:, -1]
        # 2 - 2 cos is exact where cos rounds near 1; a copy of a fit row may round above 1 (or above 0).
        squared = 2 - 2 * kth if self.unit else -kth
        return -squared.clamp_min(0).sqrt().to(batch.features.dtype)
