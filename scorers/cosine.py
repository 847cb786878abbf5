"""Cosines with the rows of the head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, HEAD


def max_cosine(batch: Batch) -> Float[Tensor, " n"]:
    """max_c cos(h, w_c), shared by all scorers that ask; a zero row has cosine 0."""
    return batch.once("max cosine", lambda: _max_cosine(batch))


def _max_cosine(batch: Batch) -> Float[Tensor, " n"]:
    weight = batch.head.weight.to(batch.features)
    tiny = torch.finfo(weight.dtype).tiny
    unit = weight / torch.linalg.vector_norm(weight, dim=1, keepdim=True).clamp_min(tiny)
    cosine: Tensor = batch.unit_features @ unit.T
    return cosine.amax(dim=1)


@scorer("maxcosine", paper="Zhang & Xiang (DML), CVPR 2023", needs=(FEATURES, HEAD))
@dataclass(frozen=True)
class MaxCosine:
    """The largest cosine between the features and a class's weights, max_c cos(h, w_c); in [-1, 1]. Biases are left out."""

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return max_cosine(batch)
