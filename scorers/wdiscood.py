"""WDiscOOD: distances in the discriminative and in the residual part of whitened features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit
from ood_bench.registry import scorer
from ood_bench.scorers.mahalanobis import NEEDS, Space, learn, nearest_distance
from ood_bench.types import Info


@scorer("wdiscood", paper="Chen et al., ICCV 2023, arXiv:2303.07543", needs=NEEDS)
@dataclass(frozen=True)
class WDiscOOD:
    """-min_c |G x - G mu_c| - lam |H x - H mu| for x whitened by the within-class covariance; in (-inf, 0].

    G: the `dim` discriminants with the largest Fisher ratios, which in whitened space are the principal directions of
    the class means (each class weighing the same) about the overall mean mu. H: the complement of G.
    `auto`: the authors' 1000 and lam 5 from d = 2048 on (ResNet-50), 512 and lam 1 below (ViT-B); `dim` never above
    K - 1, beyond which every ratio is 0 and directions are arbitrary (their 1000 for 1000 classes is 999 here).
    They also divide features by their length for ViT and SupCon: `unit=true`. Departures: `eigh` on the class means'
    scatter where they take real parts of `eig` of (I + 1e-5 I)^-1 S_b, the same directions.
    """

    dim: Annotated[int, Range(1)] | Literal["auto"] = "auto"
    lam: Annotated[float, Range(0)] | Literal["auto"] = "auto"
    unit: bool = False

    def resolve(self, info: Info) -> WDiscOOD:
        if info.classes < 2:
            raise CannotScore(f"wdiscood needs at least 2 classes, got K={info.classes}")
        large = info.dim >= 2048
        dim = self.dim if isinstance(self.dim, int) else 1000 if large else 512
        lam = (5.0 if large else 1.0) if self.lam == "auto" else self.lam
        return replace(self, dim=min(dim, info.classes - 1, info.dim), lam=lam)

    def fit(self) -> Fit:
        _, classes = yield from learn(unit=self.unit)
        means = classes.means
        if len(means) < 2:
            raise CannotScore("wdiscood needs fit rows of at least 2 classes to tell apart, got rows of 1")
        _, vectors = torch.linalg.eigh(means.T @ means)
        dim = min(int(self.dim), len(means) - 1, len(vectors))
        # Falling ratios: the first `dim` columns are G, the others span the residual.
        return FittedWDiscOOD(classes.space, vectors.flip(1), means @ vectors.flip(1)[:, :dim], float(self.lam))


@dataclass(frozen=True)
class FittedWDiscOOD:
    space: Space
    rotation: Float[Tensor, "r r"]
    means: Float[Tensor, "C g"]
    lam: float

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        whitened = self.space.coordinates(batch)
        rotated = whitened @ self.rotation.to(whitened)
        dim = self.means.shape[1]
        residual: Tensor = torch.linalg.vector_norm(rotated[:, dim:], dim=1)
        return -nearest_distance(rotated[:, :dim], self.means) - self.lam * residual

    def learned(self) -> dict[str, int]:
        return {"dim": self.means.shape[1], "rank": len(self.rotation)}
