"""OpenMax: a Weibull law of the distance to each class's mean logits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import logits
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import ClassMeans, Fit, Split
from ood_bench.registry import scorer
from ood_bench.selection import argmax
from ood_bench.types import FIT, FIT_LABELS, LOGITS, Info

Rows = Literal["correct", "label"]
STEPS = 80  # halvings of a bracket that spans eight powers of ten: past float64's last digit


@dataclass(frozen=True, eq=False)
class Distance:
    """`euclid` times the Euclidean distance of a row's logits to the mean of the class `to` (n,), plus (1 - `euclid`)
    times one minus their cosine; zero logits have cosine 0."""

    means: Float[Tensor, "K K"]
    euclid: float

    def __call__(self, batch: Batch, to: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        logits, means = batch.logits, self.means.to(batch.logits).index_select(0, to)
        distance: Tensor = torch.linalg.vector_norm(logits - means, dim=1)
        if self.euclid == 1:
            return distance
        tiny = torch.finfo(logits.dtype).tiny
        lengths = torch.linalg.vector_norm(logits, dim=1) * torch.linalg.vector_norm(means, dim=1)
        cosine = (logits * means).sum(dim=1) / lengths.clamp_min(tiny)
        mixed: Tensor = self.euclid * distance + (1 - self.euclid) * (1 - cosine)
        return mixed


@dataclass(frozen=True)
class Farthest:
    """Per class, the `n` largest distances to its mean among its (correctly classified) rows, falling; -inf where fewer."""

    n: int
    distance: Distance
    rows: Rows
    split: Split = "fit"

    def add(self, partial: Tensor | None, batch: Batch) -> Float[Tensor, "K m"]:
        double, labels = batch.double, batch.labels
        kept = labels >= 0 if self.rows == "label" else labels == batch.predicted
        classes = labels[kept]
        values = self.distance(double, labels.clamp_min(0))[kept]
        order = values.argsort(descending=True)
        order = order[classes[order].argsort(stable=True)]  # by class, the farthest first
        values, classes = values[order], classes[order]
        counts = torch.bincount(classes, minlength=batch.n_classes)
        place = torch.arange(len(classes), device=classes.device) - (counts.cumsum(0) - counts)[classes]
        first = place < self.n
        farthest = torch.full((batch.n_classes, self.n), -torch.inf, dtype=values.dtype, device=values.device)
        farthest[classes[first], place[first]] = values[first]
        return farthest if partial is None else self.merge(partial, farthest)

    def merge(self, a: Tensor, b: Tensor) -> Float[Tensor, "K m"]:
        return torch.cat([a, b], dim=1).topk(self.n, dim=1).values

    def result(self, partial: Tensor) -> Float[Tensor, "K m"]:
        return partial


@dataclass(frozen=True, eq=False)
class Tails:
    """A Weibull law per class of the distances moved so that the tail's smallest lies at `translate` (libMR's way)."""

    smallest: Float[Tensor, " K"]
    shape: Float[Tensor, " K"]
    log_scale: Float[Tensor, " K"]  # of distance / translate
    translate: float

    @classmethod
    def fitted_to(cls, farthest: Float[Tensor, "K m"], translate: float) -> Tails:
        """Maximum likelihood of shape and scale. A class without rows gets shape 0, and is never revised."""
        known = farthest.isfinite()
        count = known.sum(dim=1)
        smallest = torch.where(known, farthest, torch.inf).amin(dim=1)
        smallest = torch.where(count > 0, smallest, 0.0)
        logs = torch.where(known, (farthest - smallest[:, None]) / translate, 0.0).log1p()
        top = logs.amax(dim=1, keepdim=True)
        mean = logs.sum(dim=1) / count.clamp_min(1)
        below = torch.where(known, logs - mean[:, None], 0.0)
        deviation = (below.square().sum(dim=1) / count.clamp_min(1)).sqrt().clamp_min(1e-12)  # equal distances: a step
        low, high = (1e-4 / deviation).log(), (1e4 / deviation).log()
        for _ in range(STEPS):  # of the likelihood's derivative, which rises in the shape
            middle = (low + high) / 2
            shape = middle.exp()
            weights = torch.where(known, (shape[:, None] * (logs - top)).exp(), 0.0)
            total = weights.sum(dim=1).clamp_min(torch.finfo(weights.dtype).tiny)
            rises = (weights * below).sum(dim=1) / total - 1 / shape > 0
            low, high = torch.where(rises, low, middle), torch.where(rises, middle, high)
        shape = ((low + high) / 2).exp()
        weights = torch.where(known, (shape[:, None] * (logs - top)).exp(), 0.0)
        log_scale = top.squeeze(1) + (weights.sum(dim=1) / count.clamp_min(1)).clamp_min(1e-300).log() / shape
        return cls(smallest, torch.where(count > 0, shape, 0.0), log_scale, translate)

    def unusual(self, distance: Float[Tensor, " n"], to: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The law's distribution function at the distance to the class `to`: near 1 = farther than the farthest rows."""
        smallest, shape, log_scale = (table.to(distance)[to] for table in (self.smallest, self.shape, self.log_scale))
        moved = ((distance - smallest) / self.translate).clamp_min(-1 + torch.finfo(distance.dtype).eps)
        share = -torch.expm1(-(shape * (moved.log1p() - log_scale)).exp())
        return torch.where(shape > 0, share, 0.0)


@scorer(
    "openmax",
    paper="Bendale & Boult, CVPR 2016, arXiv:1511.06233",
    needs=(LOGITS, FIT, FIT_LABELS),
)
@dataclass(frozen=True)
class OpenMax:
    """log (1 - P) - log P, with P OpenMax's probability of the unknown class; ranks as -P, which saturates.

    With v the logits, mu_c the mean logits of the correctly classified fit rows of class c, and w_c the Weibull
    distribution function at ||v - mu_c||, fitted to the `tail` largest such distances: the `alpha` largest logits are
    revised to v_c (1 - omega_c w_c), omega = 1, (alpha - 1) / alpha, ..., the unknown class gets sum_c v_c omega_c w_c,
    and P is its softmax probability. alpha = 3, tail = 20 and the Euclidean distance as OpenOOD (the authors: 10, 20 and
    Euclidean / 200 + cosine). The Weibull law is our own maximum likelihood of what libMR fits, moved by `translate` =
    10000 as in the authors' copy of it (newer copies move by 1, and then the law is 0 below the tail's smallest).
    `euclid_weight` below 1 mixes in the cosine distance and `rows=label` takes the wrongly classified rows of a class
    too, as pytorch-ood. A class without a correct row is not revised.
    As in the paper, negative logits count against the unknown class.
    """

    alpha: Annotated[int, Range(1)] = 3
    tail: Annotated[int, Range(2)] = 20
    translate: Annotated[float, Range(0, above=True)] = 10000.0
    euclid_weight: Annotated[float, Range(0, 1)] = 1.0
    rows: Rows = "correct"

    def resolve(self, info: Info) -> OpenMax:
        return replace(self, alpha=min(self.alpha, info.classes))

    def fit(self) -> Fit:
        classes = yield ClassMeans(by=self.rows, of=logits)
        distance = Distance(classes.means.nan_to_num(0.0), self.euclid_weight)
        farthest = yield Farthest(self.tail, distance, self.rows)
        if not bool(farthest[:, 1:].isfinite().any()):
            which = "correctly classified" if self.rows == "correct" else "labelled"
            raise CannotScore(f"openmax needs a class with two {which} fit rows at least, got none")
        return FittedOpenMax(self.alpha, distance, Tails.fitted_to(farthest, self.translate))


@dataclass(frozen=True)
class FittedOpenMax:
    alpha: int
    distance: Distance
    tails: Tails

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        revised, unknown = batch.logits.clone(), torch.zeros_like(batch.max_logit)
        others, value, to = batch.logits.clone(), batch.max_logit, batch.predicted
        for rank in range(self.alpha):
            if rank > 0:
                others.scatter_(1, to[:, None], -torch.inf)
                value, to = others.amax(dim=1), argmax(others)
            weight = (self.alpha - rank) / self.alpha
            taken = value * weight * self.tails.unusual(self.distance(batch, to), to)
            revised.scatter_(1, to[:, None], (value - taken)[:, None])
            unknown = unknown + taken
        return revised.logsumexp(dim=1) - unknown
