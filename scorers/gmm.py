"""One Gaussian per class, each with its own full covariance."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import Column, features, labels
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Split
from ood_bench.registry import scorer
from ood_bench.scorers.mahalanobis import NEEDS
from ood_bench.types import Info

BOUND = 2**30  # bytes that the covariances of all groups may take; the fit holds about three times that
Groups = Callable[[Batch], Int[Tensor, " n"]]


@dataclass(frozen=True, eq=False)
class GroupMomentsResult:
    """Rows, mean and centred scatter sum of each group, in float64; zeros for a group without rows."""

    counts: Float[Tensor, " G"]
    means: Float[Tensor, "G d"]
    scatters: Float[Tensor, "G d d"]


@dataclass(eq=False)
class _Partial:
    shift: Tensor  # rows are summed about the first batch's mean, so that a large mean costs no digits
    counts: Tensor
    totals: Tensor
    scatters: Tensor


@dataclass(frozen=True)
class GroupMoments:
    """Mean and scatter of a column within each group of rows (negative group: left out). Memory: groups x d^2."""

    groups: Groups
    count: int
    of: Column = features
    split: Split = "fit"

    def add(self, partial: _Partial | None, batch: Batch) -> _Partial:
        rows = self.of(batch).double()
        if partial is None:
            count, d = self.count, rows.shape[1]
            zeros = (rows.new_zeros(count), rows.new_zeros(count, d), rows.new_zeros(count, d, d))
            partial = _Partial(rows.mean(dim=0), *zeros)
        centred, groups = rows - partial.shift, self.groups(batch)
        present = torch.bincount(groups[groups >= 0]).nonzero().flatten().tolist()
        for group in present:  # a product of its own for each: no writing without the loop does as little work
            members = centred[groups == group]
            partial.counts[group] += len(members)
            partial.totals[group] += members.sum(dim=0)
            partial.scatters[group].addmm_(members.T, members)
        return partial

    def merge(self, a: _Partial, b: _Partial) -> _Partial:
        move = b.shift - a.shift  # b's sums, told about a's shift
        cross = b.totals[:, :, None] * move
        a.scatters += b.scatters + cross + cross.mT + b.counts[:, None, None] * torch.outer(move, move)
        a.totals += b.totals + b.counts[:, None] * move
        a.counts += b.counts
        return a

    def result(self, partial: _Partial) -> GroupMomentsResult:
        offsets = partial.totals / partial.counts.clamp_min(1)[:, None]
        scatters = partial.scatters - partial.totals[:, :, None] * offsets[:, None, :]
        means = torch.where(partial.counts[:, None] > 0, partial.shift + offsets, 0.0)
        return GroupMomentsResult(partial.counts, means, scatters)


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Gaussians in the form that scoring wants: |(x - origin) W_g - c_g|^2 is the squared distance from the g-th."""

    origin: Float[Tensor, " d"]
    whiteners: Float[Tensor, "G d d"]
    centres: Float[Tensor, "G d"]
    log_normalisers: Float[Tensor, " G"]
    log_shares: Float[Tensor, " G"]  # log of each group's share of the rows

    @classmethod
    def of(cls, moments: GroupMomentsResult, jitter: float, name: str) -> Gaussians:
        """Covariances over n; a group of n <= d rows is filled up to d + 1 rows with the pooled covariance; and
        jitter times the mean variance is added to every diagonal."""
        kept = moments.counts > 0
        counts, means, scatters = moments.counts[kept], moments.means[kept], moments.scatters[kept]
        d = means.shape[1]
        pooled = scatters.sum(dim=0) / counts.sum()
        lacking = (d + 1 - counts).clamp_min(0)
        covariances = scatters.add_(lacking[:, None, None] * pooled).div_((counts + lacking)[:, None, None])
        covariances.diagonal(dim1=1, dim2=2).add_(jitter * pooled.diagonal().mean())
        lower, failed = torch.linalg.cholesky_ex(covariances)
        diagonals = lower.diagonal(dim1=1, dim2=2)
        if bool(failed.any()) or not bool((diagonals > 0).all()):
            raise CannotScore(f"{name} needs covariances that can be inverted; ask for a jitter above {jitter:g}")
        identity = torch.eye(d, dtype=lower.dtype, device=lower.device).expand_as(lower)
        whiteners = torch.linalg.solve_triangular(lower, identity, upper=False).mT.contiguous()
        origin = (counts @ means) / counts.sum()
        centres = torch.einsum("gd,gde->ge", means - origin, whiteners)
        log_normalisers = -diagonals.log().sum(dim=1) - d / 2 * math.log(2 * math.pi)
        return cls(origin, whiteners, centres, log_normalisers, (counts / counts.sum()).log())

    def largest(self, rows: Float[Tensor, "n d"], *, density: bool) -> Float[Tensor, " n"]:
        """max_g of log N(x; g), or of minus the squared distance from g."""
        parts = (part.amax(dim=1) for part in self._parts(rows, self.log_normalisers if density else None))
        return functools.reduce(torch.maximum, parts)

    def mixture(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """log sum_g share_g N(x; g)."""
        parts = (part.logsumexp(dim=1) for part in self._parts(rows, self.log_normalisers + self.log_shares))
        return functools.reduce(torch.logaddexp, parts)

    def _parts(
        self, rows: Float[Tensor, "n d"], log_factors: Float[Tensor, " G"] | None
    ) -> Iterator[Float[Tensor, "n g"]]:
        """-|.|^2 / 2 + log factor for a few groups at a time; without factors -|.|^2."""
        rows = rows - self.origin.to(rows)
        together = max(1, 4096 // rows.shape[1])
        for at in range(0, len(self.centres), together):
            whiteners, centres = (part[at : at + together].to(rows) for part in (self.whiteners, self.centres))
            wide = torch.addmm(-centres.flatten(), rows, whiteners.permute(1, 0, 2).flatten(1))
            value = -wide.view(-1, *centres.shape).square_().sum(dim=2)
            if log_factors is not None:
                value = value.mul_(0.5).add_(log_factors[at : at + together].to(rows))
            yield value


def check_size(groups: int, d: int, name: str) -> None:
    """Refuse when the groups' covariances would not fit the bound."""
    wanted = 8 * groups * d * d
    if wanted > BOUND:
        raise CannotScore(
            f"{name} keeps {groups} covariances of {d} x {d}, {wanted / 2**30:.1f} GiB; its bound is {BOUND / 2**30:g} GiB"
        )


@scorer(
    "gmm", paper="Lee et al., NeurIPS 2018; full covariances: Mueller & Hein, ICML 2025, arXiv:2505.18032", needs=NEEDS
)
@dataclass(frozen=True)
class GMM:
    """max_c log N(h; mu_c, S_c), each class with its own full covariance over its n_c rows.

    `density=mixture`: log sum_c (n_c / n) N(h; mu_c, S_c), the likelihood of the mixture, as pytorch-ood.
    A class with n_c <= d rows has no inverse: its scatter is filled up to d + 1 rows with the covariance pooled over the
    classes. `jitter` times the mean variance is added to every diagonal; Mueller & Hein add the smallest of 0, 1e-15,
    ..., 0.1 with which a Cholesky factor exists, which hangs on rounding, and divide by n_c - 1. Memory is K d^2: above
    1 GiB of covariances (K = 1000 with d = 2048 has 31) it is skipped.
    """

    jitter: Annotated[float, Range(0)] = 1e-6
    density: Literal["best", "mixture"] = "best"

    def resolve(self, info: Info) -> GMM:
        check_size(info.classes, info.dim, "gmm")
        return self

    def fit(self, info: Info) -> Fit:
        moments = yield GroupMoments(labels, info.classes)
        return FittedGMM(
            Gaussians.of(moments, self.jitter, "gmm"),
            self.density == "mixture",
            int((moments.counts <= info.dim).sum()),
        )


@dataclass(frozen=True)
class FittedGMM:
    gaussians: Gaussians
    mixture: bool
    filled_up: int

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        if self.mixture:
            return self.gaussians.mixture(batch.features)
        return self.gaussians.largest(batch.features, density=True)

    def learned(self) -> dict[str, int]:
        return {"classes_filled_up": self.filled_up}
