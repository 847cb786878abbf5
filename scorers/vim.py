"""Virtual-logit matching, and the residual it is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import max_logit
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Mean, Moments, MomentsResult
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, HEAD, LOGITS, Head, Info

PAPER = "Wang et al., CVPR 2022, arXiv:2203.10807"
Dim = Annotated[int, Range(1)] | None
# A residual shorter than this share of the features' own length is what float32, in which banks are stored, rounds off
# (2^-24 of each entry); its scale alpha would blow that noise up to the size of the logits.
ROUNDING = 1e-6


def principal_dim(dim: int | None, d: int, name: str) -> int:
    """Dimensions of the principal space: 1000 for d >= 2048, 512 for d >= 768, else d // 2 (the authors' benchmark.py,
    not the paper, which says 1000 for d > 1500 and 512 otherwise)."""
    chosen = dim if dim is not None else 1000 if d >= 2048 else 512 if d >= 768 else d // 2
    if not 0 < chosen < d:
        raise CannotScore(f"{name} needs 0 < dim < {d} (the feature size), got dim={chosen}")
    return chosen


@dataclass(frozen=True, eq=False, repr=False)
class ResidualNorm:
    """Length of what is left of the features outside the principal space; also a column for reductions."""

    origin: Float[Tensor, " d"]
    residual: Float[Tensor, "d r"]

    @classmethod
    def of(cls, moments: MomentsResult, head: Head, dim: int) -> ResidualNorm:
        """One for all scorers that ask for the same principal space."""

        def make() -> ResidualNorm:
            _, vectors = moments.spectrum(head.origin)
            return cls(head.origin, vectors[:, : vectors.shape[1] - dim])

        return moments.keep(("residual norm", dim, head.origin.cpu().numpy().tobytes()), make)

    def __call__(self, batch: Batch) -> Float[Tensor, " n"]:
        return batch.once(self, lambda: self._length(batch))

    def __repr__(self) -> str:  # the name of this shared work in the account of seconds
        return "residual norm"

    def _length(self, batch: Batch) -> Float[Tensor, " n"]:
        features = batch.features
        outside = (features - self.origin.to(features)) @ self.residual.to(features)
        length: Tensor = torch.linalg.vector_norm(outside, dim=1)
        return length


@scorer("residual", paper=PAPER, needs=(FEATURES, HEAD, FIT))
@dataclass(frozen=True)
class Residual:
    """Minus the length of the features' component outside the principal space of the fit set.

    Moments are taken about the origin -pinv(W) b. float64 `eigh`, where the authors call `eig` (complex and wrong by up
    to 17 % for fewer rows than features). `dim` as in ViM, where OpenOOD's default 512 leaves nothing of 512 features.
    """

    dim: Dim = None

    def resolve(self, info: Info) -> Residual:
        return replace(self, dim=principal_dim(self.dim, info.dim, "residual"))

    def fit(self, head: Head) -> Fit:
        moments = yield Moments()
        return FittedResidual(ResidualNorm.of(moments, head, self.dim or 0))


@dataclass(frozen=True)
class FittedResidual:
    norm: ResidualNorm

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -self.norm(batch)


@scorer("vim", paper=PAPER, needs=(LOGITS, FEATURES, HEAD, FIT))
@dataclass(frozen=True)
class ViM:
    """logsumexp(z) minus the virtual logit: the residual's length, scaled to the fit set's mean largest logit.

    Ranks as one minus the softmax probability of the virtual logit (equation 8). dim: 1000 / 512 / d // 2, as the
    authors' benchmark.py. Moments about the origin -pinv(W) b, float64 `eigh` (see `residual`).
    """

    dim: Dim = None

    def resolve(self, info: Info) -> ViM:
        return replace(self, dim=principal_dim(self.dim, info.dim, "vim"))

    def fit(self, head: Head) -> Fit:
        moments, top = yield Moments(), Mean(max_logit)
        values, _ = moments.spectrum(head.origin)
        norm = ResidualNorm.of(moments, head, self.dim or 0)
        length = yield Mean(norm)
        if not length > ROUNDING * values.clamp_min(0).sum().sqrt():  # the root mean square of |h - origin|
            raise CannotScore(
                f"vim: the fit features have no component outside {self.dim} dimensions beyond rounding; "
                "ask for a smaller dim"
            )
        return FittedViM(norm, top / length)


@dataclass(frozen=True)
class FittedViM:
    norm: ResidualNorm
    alpha: Float[Tensor, ""]

    def virtual_logit(self, batch: Batch) -> Float[Tensor, " n"]:
        """alpha times the residual's length: the logit of the class "none of these"."""
        return self.alpha.to(batch.features) * self.norm(batch)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return batch.logsumexp - self.virtual_logit(batch)

    def learned(self) -> dict[str, float]:
        return {"alpha": float(self.alpha)}
