"""fDBD: distance of the features to the decision boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import features
from ood_bench.reductions import Fit, Mean
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, HEAD, LOGITS, Head

SHORTEST = 1e-8  # what a length of zero counts as in a denominator


@scorer("fdbd", paper="Liu & Qin, ICML 2024, arXiv:2312.11536", needs=(LOGITS, FEATURES, HEAD, FIT))
@dataclass(frozen=True)
class FDBD:
    """Sum over c != y of (z_y - z_c) / ||w_y - w_c||, divided by ||h - mu||; y is the predicted class, mu the fit mean.

    The sum is the authors' code's; the paper's mean over K - 1 classes ranks the same. `normalise=norm` divides by ||h||
    (OpenOOD's other setting). Distances between head rows are sums of squared differences in float64 (a product would
    lose the near ones to cancellation). A class whose row equals w_y has no boundary with it and is left out, where the
    authors divide by zero.
    """

    normalise: Literal["mean", "norm"] = "mean"

    def fit(self, head: Head) -> Fit:
        mean = None
        if self.normalise == "mean":
            mean = yield Mean(features)
        return FittedFDBD(_inverse_distances(head.double.weight), mean)


@dataclass(frozen=True)
class FittedFDBD:
    inverse: Float[Tensor, "K K"]  # of the distances between head rows; 0 where there is no distance
    mean: Float[Tensor, " d"] | None

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        gaps = batch.max_logit[:, None] - batch.logits
        boundaries: Tensor = gaps.mul_(self.inverse.to(batch.logits).index_select(0, batch.predicted)).sum(dim=1)
        return boundaries / deviation(batch, self.mean).clamp_min(SHORTEST)


def deviation(batch: Batch, mean: Float[Tensor, " d"] | None) -> Float[Tensor, " n"]:
    """Length of h - mean, or of h where there is no mean."""
    if mean is None:
        return batch.feature_norm
    length: Tensor = torch.linalg.vector_norm(batch.features - mean.to(batch.features), dim=1)
    return length


def _inverse_distances(weight: Float[Tensor, "K d"]) -> Float[Tensor, "K K"]:
    k = len(weight)
    inverse = torch.pdist(weight).reciprocal()
    square = weight.new_zeros(k, k)
    row, column = torch.triu_indices(k, k, 1, device=weight.device)
    square[row, column] = inverse.masked_fill(inverse.isinf(), 0.0)
    return square + square.T
