"""WeiPer+KLD: histograms of a sample's features and of its logits under perturbed heads, against the fit set's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import Column
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Mean, Split
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, FIT, HEAD, Head

# Added to every bin before the divergence, for features and for perturbed logits: constants of the authors' utils.py.
EPSILON, EPSILON_PERTURBED = 0.01, 0.025
CHUNK = 1 << 22  # entries of a block of perturbed logits, or of perturbed weights, held at once

Positive = Annotated[int, Range(1)]


@scorer(
    "weiper", paper="Granz et al., NeurIPS 2024, arXiv:2405.17164", needs=(FEATURES, HEAD, FIT), precision="float64"
)
@dataclass(frozen=True)
class WeiPer:
    """-(D(h) + lambda1 D(z~) - lambda2 MSP(z~)); z~ are the logits of `repeats` heads with noise on their weights.

    A perturbed head has rows w_c + delta ||w_c|| u with u random of length 1. D is the symmetric KL divergence between
    the sample's histogram over its d (or repeats x K) entries, smoothed, and the fit set's mean histogram, over `bins`
    bins between the fit set's smallest and largest entry; MSP is the mean over the heads. Defaults: the authors'
    weiper_kldiv.yml, which tunes all of them. As their code, the mean histogram is not smoothed. Departures: their code
    draws new noise for every batch (an argument has the wrong name), here it is one draw from `seed`; the last bin is
    closed. In float64, because an entry that crosses a bin's edge moves the score. Costs `repeats` times the head.
    """

    repeats: Positive = 100
    delta: Annotated[float, Range(0, above=True)] = 1.8
    lambda1: Annotated[float, Range(0)] = 2.5
    lambda2: Annotated[float, Range(0)] = 0.1
    bins: Annotated[int, Range(2)] = 100
    smoothing: Positive = 4
    smoothing_perturbed: Positive = 15
    seed: int = 0

    def fit(self, head: Head) -> Fit:
        heads = PerturbedHeads(head.double.weight, head.double.bias, self.repeats, self.delta, self.seed)
        low, high, low_perturbed, high_perturbed = ((yield Smallest(Extremes(heads))) * SIGNS).tolist()
        if not (high > low and high_perturbed > low_perturbed):
            raise CannotScore("weiper needs fit features that differ from each other, but all entries are equal")
        histograms = Histograms(heads, Bins(low, high, self.bins), Bins(low_perturbed, high_perturbed, self.bins))
        mean = yield Mean(histograms)
        return FittedWeiPer(self, histograms, mean[0], mean[1])


@dataclass(frozen=True, eq=False)
class PerturbedHeads:
    """`repeats` copies of a head with noise on the weights, made anew from the seed whenever they are wanted."""

    weight: Float[Tensor, "K d"]
    bias: Float[Tensor, " K"]
    repeats: int
    delta: float
    seed: int

    def logits(self, features: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, "n r K"]]:
        """Logits of a few heads at a time. On the CPU's generator, so that every device sees the same heads."""
        k, d = self.weight.shape
        few = max(1, CHUNK // (k * max(len(features), d)))
        weight, bias = self.weight.to(features), self.bias.to(features)
        for start in range(0, self.repeats, few):
            noise = torch.stack([self._noise(at) for at in range(start, min(start + few, self.repeats))]).to(features)
            length = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
            perturbed = weight + self.delta * length * F.normalize(noise, dim=2)
            yield (features @ perturbed.flatten(0, 1).T).unflatten(1, (-1, k)) + bias

    def _noise(self, at: int) -> Float[Tensor, "K d"]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + at)
        return torch.randn(self.weight.shape, generator=generator)


# -- what the fit asks --------------------------------------------------------------------------------------------------

SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)  # a largest entry is minus the smallest negative


@dataclass(frozen=True, eq=False)
class Extremes:
    """Per row the smallest and minus the largest feature, and the same of the perturbed logits."""

    heads: PerturbedHeads

    def __call__(self, batch: Batch) -> Float[Tensor, "n 4"]:
        features = batch.features.double()
        low = features.new_full((len(features),), torch.inf)
        high = -low
        for logits in self.heads.logits(features):
            low = torch.minimum(low, logits.amin(dim=(1, 2)))
            high = torch.maximum(high, logits.amax(dim=(1, 2)))
        return torch.stack([features.amin(dim=1), -features.amax(dim=1), low, -high], dim=1)


@dataclass(frozen=True)
class Smallest:
    """The smallest value of each entry of a column."""

    of: Column
    split: Split = "fit"

    def add(self, partial: Tensor | None, batch: Batch) -> Float[Tensor, " m"]:
        here = self.of(batch).amin(dim=0)
        return here if partial is None else self.merge(partial, here)

    def merge(self, a: Float[Tensor, " m"], b: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
        return torch.minimum(a, b)

    def result(self, partial: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
        return partial.cpu()


# -- histograms ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bins:
    """`count` equal bins on [low, high]; what lies outside is counted, but in no bin."""

    low: float
    high: float
    count: int

    def counts(self, values: Float[Tensor, "n m"]) -> Float[Tensor, "n count"]:
        """How many of each row's values lie in each bin."""
        place = (values - self.low).mul_(self.count / (self.high - self.low)).floor_().clamp_(-1, self.count - 1)
        place = place.masked_fill_(values > self.high, self.count).add_(1).int()  # half the bytes of int64 to count
        wide = self.count + 2
        place += torch.arange(len(values), dtype=torch.int32, device=values.device)[:, None] * wide
        return torch.bincount(place.flatten(), minlength=len(values) * wide).view(-1, wide)[:, 1:-1].double()


@dataclass(frozen=True, eq=False)
class Histograms:
    """Per row the shares of the features, and of the perturbed logits, in their bins."""

    heads: PerturbedHeads
    features: Bins
    perturbed: Bins

    def __call__(self, batch: Batch) -> Float[Tensor, "n 2 bins"]:
        return self.with_confidence(batch)[0]

    def with_confidence(self, batch: Batch) -> tuple[Float[Tensor, "n 2 bins"], Float[Tensor, " n"]]:
        """The histograms, and the largest softmax probability, mean over the perturbed heads."""
        features = batch.features.double()
        counts = features.new_zeros(len(features), self.perturbed.count)
        confidence = features.new_zeros(len(features))
        for logits in self.heads.logits(features):
            counts += self.perturbed.counts(logits.flatten(1))
            confidence += (logits.amax(dim=2) - logits.logsumexp(dim=2)).exp().sum(dim=1)
        per_row = self.heads.repeats * len(self.heads.bias)
        shares = [self.features.counts(features) / features.shape[1], counts / per_row]
        return torch.stack(shares, dim=1), confidence / self.heads.repeats


@dataclass(frozen=True)
class FittedWeiPer:
    options: WeiPer
    histograms: Histograms
    mean: Float[Tensor, " bins"]
    mean_perturbed: Float[Tensor, " bins"]

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        options = self.options
        shares, confidence = self.histograms.with_confidence(batch)
        plain = _divergence(self.mean, shares[:, 0], options.smoothing, EPSILON)
        perturbed = _divergence(self.mean_perturbed, shares[:, 1], options.smoothing_perturbed, EPSILON_PERTURBED)
        return -(plain + options.lambda1 * perturbed - options.lambda2 * confidence)


def _divergence(
    mean: Float[Tensor, " bins"], shares: Float[Tensor, "n bins"], width: int, epsilon: float
) -> Float[Tensor, " n"]:
    """KL(p, q) + KL(q, p) = sum (p - q)(log p - log q); p the mean, q the shares smoothed by a window of `width` bins."""
    left = (width - 1) // 2
    padded = F.pad(shares[:, None], (left, width - 1 - left), mode="replicate")
    q = F.avg_pool1d(padded, width, stride=1).squeeze(1) + epsilon
    p = mean.to(shares) + epsilon
    p, q = p / p.sum(), q / q.sum(dim=1, keepdim=True)
    return ((p - q) * (p.log() - q.log())).sum(dim=1)
