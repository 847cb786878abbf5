"""Distance to the k-th nearest fit row, on the unit sphere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.neighbours import TopCosine
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, Info


@scorer("knn", paper="Sun et al., ICML 2022, arXiv:2204.06507", needs=(FEATURES, FIT))
@dataclass(frozen=True)
class KNN:
    """Minus the Euclidean distance of h / |h| to its k-th nearest h_i / |h_i| among the fit rows; in [-2, 0].

    k `auto`: the authors' 1000 from K = 1000 on (ImageNet), else 50 (CIFAR); never more than the fit rows. The distance
    is sqrt(2 - 2 cos): a row of zeros has cosine 0 with all and stands at sqrt(2). The whole fit set is searched; the
    authors' 1 % subsets for ImageNet are a matter of the fit set.
    """

    k: Annotated[int, Range(1)] | Literal["auto"] = "auto"

    def resolve(self, info: Info) -> KNN:
        k = self.k if isinstance(self.k, int) else 1000 if (info.n_classes or 0) >= 1000 else 50
        return replace(self, k=min(k, info.n_fit or k))

    @property
    def neighbours(self) -> tuple[TopCosine, ...]:
        return (TopCosine(int(self.k)),)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        cosine = batch.answer(self.neighbours[0])[:, -1]
        # 2 - 2 cos is exact where cos rounds near 1; a copy of a fit row may round above 1.
        return -(2 - 2 * cosine).clamp_min(0).sqrt()
