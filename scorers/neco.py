"""NECO: how much of a row lies in the principal space of the standardised fit features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Moments, MomentsResult
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, LOGITS, Info


@scorer("neco", paper="Ben Ammar et al., ICLR 2024, arXiv:2310.06823", needs=(LOGITS, FEATURES, FIT))
@dataclass(frozen=True)
class NECO:
    """|P s| / |s| times the largest logit; s = (h - mean) / std, P the first `dim` principal components of the fit rows.

    The authors fix `dim` by hand for each case (100 is typical); none: as many as explain `variance` of it (Mueller &
    Hein's rule). They leave the logit out for ResNet (`maxlogit=false`: then in [0, 1]) and, for DeiT and Swin, divide
    by the length of the raw features, which we do not. A constant column has std 1; a row at the mean scores 0.
    """

    dim: Annotated[int, Range(1)] | None = None
    variance: Annotated[float, Range(0, 1, above=True)] = 0.9
    maxlogit: bool = True

    def resolve(self, info: Info) -> NECO:
        if self.dim is not None and self.dim > info.dim:
            raise CannotScore(f"neco needs 1 <= dim <= {info.dim} (the feature size), got dim={self.dim}")
        return self

    def fit(self) -> Fit:
        moments = yield Moments()
        std = _standard_deviation(moments)
        values, vectors = torch.linalg.eigh(moments.covariance / torch.outer(std, std))
        dim = self.dim or components(values, self.variance)
        return FittedNECO(moments.mean, std, vectors[:, len(values) - dim :], self.maxlogit)


@dataclass(frozen=True)
class FittedNECO:
    mean: Float[Tensor, " d"]
    std: Float[Tensor, " d"]
    principal: Float[Tensor, "d q"]
    maxlogit: bool

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        standard = (batch.features - self.mean.to(batch.features)) / self.std.to(batch.features)
        inside = torch.linalg.vector_norm(standard @ self.principal.to(standard), dim=1)
        length = torch.linalg.vector_norm(standard, dim=1).clamp_min(torch.finfo(standard.dtype).tiny)
        ratio: Tensor = inside / length
        return ratio * batch.max_logit if self.maxlogit else ratio

    def learned(self) -> dict[str, int]:
        return {"dim": self.principal.shape[1]}


def components(values: Float[Tensor, " d"], variance: float) -> int:
    """How many of the largest eigenvalues (given rising) explain at least a share of their sum."""
    explained = values.clamp_min(0).flip(0).cumsum(0)
    if not bool(explained[-1] > 0):
        raise CannotScore("principal components need fit features that vary, got a constant")
    return min(int((explained < variance * explained[-1]).sum()) + 1, len(values))


def _standard_deviation(moments: MomentsResult) -> Float[Tensor, " d"]:
    """Over n; 1 where a column varies by no more than its mean's rounding, as in scikit-learn's StandardScaler."""
    std = moments.covariance.diagonal().clamp_min(0).sqrt()
    rounding = moments.n * torch.finfo(torch.float64).eps * moments.mean.abs()
    return torch.where(std > rounding, std, 1.0)
