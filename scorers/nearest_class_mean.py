"""Nearest class mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.reductions import ClassMeans, Fit
from ood_bench.registry import scorer
from ood_bench.scorers.mahalanobis import NEEDS, nearest_distance

Metric = Literal["euclidean", "cosine"]


@scorer("nearest-class-mean", paper="Mensink et al., TPAMI 2013", needs=NEEDS, aliases=("ncm",))
@dataclass(frozen=True)
class NearestClassMean:
    """Minus the Euclidean distance to the nearest class mean of the fit rows, in (-inf, 0]; or the largest cosine with one.

    The baseline that `mds` whitens. `metric=cosine` is in [-1, 1] and takes means of the features as they are; a zero row
    has cosine 0. Classes without fit rows are left out.
    """

    metric: Metric = "euclidean"

    def fit(self) -> Fit:
        classes = yield ClassMeans()
        means = classes.means[classes.present]
        if self.metric == "cosine":
            tiny = torch.finfo(torch.float64).tiny
            means = means / torch.linalg.vector_norm(means, dim=1, keepdim=True).clamp_min(tiny)
            return FittedNearestClassMean(self.metric, torch.zeros_like(means[0]), means)
        centre = means.mean(dim=0)  # products are taken about it: a large common offset costs no digits
        return FittedNearestClassMean(self.metric, centre, means - centre)


@dataclass(frozen=True)
class FittedNearestClassMean:
    metric: Metric
    centre: Float[Tensor, " d"]
    means: Float[Tensor, "C d"]

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        if self.metric == "cosine":
            return (batch.unit_features @ self.means.to(batch.features).T).amax(dim=1)
        return -nearest_distance(batch.features - self.centre.to(batch.features), self.means)
