"""SSD: Mahalanobis distance on the unit sphere without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import unit_features
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Moments, Sample
from ood_bench.registry import scorer
from ood_bench.scorers.gmm import Gaussians, GroupMoments, check_size
from ood_bench.scorers.mahalanobis import Space, background, nearest_index
from ood_bench.types import FEATURES, FIT, Info

ROUNDS = 100  # of Lloyd's algorithm, as the authors
ROWS_PER_CLUSTER = 256  # rows that k-means sees, the default of the authors' library


@scorer("ssd", paper="Sehwag et al., ICLR 2021, arXiv:2103.12051", needs=(FEATURES, FIT))
@dataclass(frozen=True)
class SSD:
    """Minus the smallest squared Mahalanobis distance of h / |h| to a cluster, each with its own mean and covariance.

    clusters = 1 is the authors' default, and needs no labels. More come from k-means on `ROWS_PER_CLUSTER` standardised
    rows per cluster (drawn by `seed`); their covariances are regularised as in `gmm`, where the authors take
    pseudo-inverses, whose scores of rows outside a small cluster's span say nothing. The authors standardise the
    columns first: a Mahalanobis distance does not change by it, so with one cluster we do not.
    """

    clusters: Annotated[int, Range(1)] = 1
    seed: int = 0
    jitter: Annotated[float, Range(0)] = 1e-6

    def resolve(self, info: Info) -> SSD:
        if self.clusters > 1:
            check_size(self.clusters, info.dim, "ssd")
        if info.n_fit is not None and self.clusters > info.n_fit:
            raise CannotScore(f"ssd needs clusters <= {info.n_fit} (the fit rows), got clusters={self.clusters}")
        return self

    def fit(self) -> Fit:
        if self.clusters == 1:
            return FittedSSD(background((yield Moments(unit_features)), unit=True))
        sample = Sample(ROWS_PER_CLUSTER * self.clusters, self.seed, of=unit_features)
        moments, rows = yield Moments(unit_features), sample
        std = moments.covariance.diagonal().clamp_min(0).sqrt()
        scale = torch.where(std > 1e-10, std, 1.0)
        centres = k_means((rows - moments.mean) / scale, self.clusters, self.seed)
        groups = yield GroupMoments(NearestCentre(moments.mean, scale, centres), self.clusters, of=unit_features)
        return FittedClusters(Gaussians.of(groups, self.jitter, "ssd"))


@dataclass(frozen=True)
class FittedSSD:
    space: Space

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -self.space.coordinates(batch).square().sum(dim=1)


@dataclass(frozen=True)
class FittedClusters:
    gaussians: Gaussians

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.gaussians.largest(batch.unit_features, density=False)


@dataclass(frozen=True, eq=False)
class NearestCentre:
    """Which centre is nearest to a row's standardised unit features, as a grouping of rows."""

    mean: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    centres: Float[Tensor, "G d"]

    def __call__(self, batch: Batch) -> Int[Tensor, " n"]:
        return nearest_index((unit_features(batch) - self.mean) / self.scale, self.centres)


def k_means(rows: Float[Tensor, "m d"], clusters: int, seed: int) -> Float[Tensor, "G d"]:
    """Lloyd's algorithm from distinct random rows; a centre that loses all its rows stays where it is."""
    generator = torch.Generator().manual_seed(seed)
    centres = rows[torch.randperm(len(rows), generator=generator)[:clusters].to(rows.device)]
    for _ in range(ROUNDS):
        nearest = nearest_index(rows, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
        counts = torch.bincount(nearest, minlength=len(centres))[:, None]
        moved = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres
