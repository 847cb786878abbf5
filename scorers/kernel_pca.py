"""CoP and CoRP: what principal components leave over, after the feature map of a cosine and of a Gaussian kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import unit_features
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Moments, MomentsResult
from ood_bench.registry import scorer
from ood_bench.scorers.neco import components
from ood_bench.types import FEATURES, FIT, Info

PAPER = "Fang et al., NeurIPS 2024, arXiv:2402.02949"
Share = Annotated[float, Range(0, 1, above=True)] | Literal["auto"]


def _by_size(info: Info, large: float, small: float) -> float:
    """The authors' setting for ImageNet (K = 1000 or more) or for CIFAR-10."""
    return large if (info.n_classes or 0) >= 1000 else small


@scorer("cop", paper=PAPER, needs=(FEATURES, FIT))
@dataclass(frozen=True)
class CoP:
    """Minus the reconstruction error |(I - U U') (phi - mean phi)| of phi = h / |h|, U the principal components of phi.

    As many components as explain `variance` of it, but never all d. `auto`: the authors' 0.99 from K = 1000 on
    (ImageNet, ResNet-50), else 0.85 (CIFAR-10, ResNet-18).
    """

    variance: Share = "auto"

    def resolve(self, info: Info) -> CoP:
        return replace(self, variance=_by_size(info, 0.99, 0.85)) if self.variance == "auto" else self

    def fit(self) -> Fit:
        moments = yield Moments(unit_features)
        return FittedCoP(Leftover.of(moments, float(self.variance)))


@dataclass(frozen=True)
class FittedCoP:
    leftover: Leftover

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -self.leftover.length(batch.unit_features)

    def learned(self) -> dict[str, int]:
        return {"components": self.leftover.count}


@scorer("corp", paper=PAPER, needs=(FEATURES, FIT))
@dataclass(frozen=True)
class CoRP:
    """`cop` of phi = sqrt(2 / M) cos(A h / |h| + u): random Fourier features of the kernel exp(-gamma |x - y|^2).

    A has M rows from N(0, 2 gamma I) and u is uniform on [0, 2 pi), both drawn from `seed` (the authors' draws are
    NumPy's, so scores agree in distribution, not row by row). `auto`: the authors' gamma 3, M 4096, variance 0.5 from
    K = 1000 on (ImageNet, ResNet-50), else 2, 2048, 0.8 (CIFAR-10, ResNet-18: M is 4 d there, and 4 d for smaller d).
    """

    gamma: Annotated[float, Range(0, above=True)] | Literal["auto"] = "auto"
    m: Annotated[int, Range(2)] | Literal["auto"] = "auto"
    variance: Share = "auto"
    seed: int = 0

    def resolve(self, info: Info) -> CoRP:
        gamma = _by_size(info, 3.0, 2.0) if self.gamma == "auto" else self.gamma
        m = int(_by_size(info, 4096, min(2048, 4 * info.dim))) if self.m == "auto" else self.m
        variance = _by_size(info, 0.5, 0.8) if self.variance == "auto" else self.variance
        return replace(self, gamma=gamma, m=m, variance=variance)

    def fit(self, info: Info) -> Fit:
        generator = torch.Generator().manual_seed(self.seed)
        normal = torch.randn(int(self.m), info.dim, generator=generator, dtype=torch.float64)
        phase = 2 * math.pi * torch.rand(int(self.m), generator=generator, dtype=torch.float64)
        fourier = RandomFourier(math.sqrt(2 * float(self.gamma)) * normal, phase)
        moments = yield Moments(fourier)
        return FittedCoRP(fourier, Leftover.of(moments, float(self.variance)))


@dataclass(frozen=True, eq=False)
class RandomFourier:
    """sqrt(2 / M) cos(A h / |h| + u); as a column, in float64."""

    frequencies: Float[Tensor, "M d"]
    phase: Float[Tensor, " M"]

    def __call__(self, batch: Batch) -> Float[Tensor, "n M"]:
        return self.of(batch.double.unit_features)

    def of(self, unit: Float[Tensor, "n d"]) -> Float[Tensor, "n M"]:
        angle = torch.addmm(self.phase.to(unit), unit, self.frequencies.to(unit).T)
        return angle.cos_().mul_(math.sqrt(2 / len(self.phase)))


@dataclass(frozen=True)
class FittedCoRP:
    fourier: RandomFourier
    leftover: Leftover

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -self.leftover.length(self.fourier.of(batch.unit_features))

    def learned(self) -> dict[str, int]:
        return {"components": self.leftover.count}


@dataclass(frozen=True, eq=False)
class Leftover:
    """What the first `count` principal components leave of a row: I - B B' of them, or the other components if fewer."""

    mean: Float[Tensor, " m"]
    basis: Float[Tensor, "m q"]
    count: int
    complement: bool  # whether `basis` holds the other components

    @classmethod
    def of(cls, moments: MomentsResult, variance: float) -> Leftover:
        values, vectors = moments.spectrum()
        m = len(values)
        count = min(components(values, variance), m - 1)
        # By the components it takes two products of m x count, by the others one of m x (m - count).
        complement = 2 * count >= m - count or count == 0
        return cls(moments.mean, vectors[:, : m - count] if complement else vectors[:, m - count :], count, complement)

    def length(self, rows: Float[Tensor, "n m"]) -> Float[Tensor, " n"]:
        centred, basis = rows - self.mean.to(rows), self.basis.to(rows)
        inside = centred @ basis
        left = inside if self.complement else torch.addmm(centred, inside, basis.T, alpha=-1)
        length: Tensor = torch.linalg.vector_norm(left, dim=1)
        return length
