"""Temperature scaling, and the maximum softmax probability at any temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch, beside_winner
from ood_bench.reductions import Fit, Mean
from ood_bench.registry import scorer
from ood_bench.types import LOGITS, VAL, VAL_LABELS

LOWEST, HIGHEST = 1e-3, 1e3  # of the temperature: where the likelihood has no maximum, T ends at one of these
ROUNDS = 100


def log_confidence_at(batch: Batch, temperature: float) -> Float[Tensor, " n"]:
    """Log of the largest entry of softmax(z / T), as -log1p(sum of the others over the largest)."""
    if temperature == 1.0:
        return batch.log_confidence
    others, confidence = beside_winner(batch.logits / temperature, batch.predicted)
    return -(others.sum(dim=1) / confidence).log1p()


@dataclass(frozen=True)
class Slopes:
    """First and second derivative, by b = 1 / T, of a row's -log softmax(b z)_y: E[z] - z_y and Var[z] under softmax."""

    inverse: float

    def __call__(self, batch: Batch) -> Float[Tensor, "n 2"]:
        below = batch.double.logits - batch.double.max_logit[:, None]  # logits up to a constant per row
        p = torch.softmax(below * self.inverse, dim=1)
        mean = (p * below).sum(dim=1)
        variance = (p * (below - mean[:, None]).square()).sum(dim=1)
        return torch.stack([mean - below.gather(1, batch.labels[:, None]).squeeze(1), variance], dim=1)


def best_temperature() -> Fit:
    """The temperature of least negative log-likelihood on the ID validation set: `T = yield from best_temperature()`.

    The likelihood is convex in 1 / T: Newton's method there, kept inside a shrinking bracket. One pass over the
    validation set per round, about six rounds. Any scorer that asks shares the passes.
    """
    low, high, inverse = 1 / HIGHEST, 1 / LOWEST, 1.0
    for _ in range(ROUNDS):
        slope, curvature = (yield Mean(Slopes(inverse), split="val")).tolist()
        if slope == 0:
            break
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else math.nan
        following = step if low < step < high else math.sqrt(low * high)
        done = abs(following - inverse) <= 1e-9 * inverse  # Newton's error is then this, squared
        inverse = following
        if done:
            break
    return 1 / inverse


@scorer(
    "tempscale",
    paper="Guo et al., ICML 2017, arXiv:1706.04599",
    needs=(LOGITS, VAL, VAL_LABELS),
    aliases=("temperature-scaling", "temp-scaling"),
)
@dataclass(frozen=True)
class TempScale:
    """Log of the largest entry of softmax(z / T), T of least negative log-likelihood on ID validation; in (-inf, 0].

    T is found to convergence (Newton in 1 / T, in which the likelihood is convex), where OpenOOD and pytorch-ood stop
    after 50 steps of L-BFGS. It is kept in [0.001, 1000]: a validation set without an error asks for T = 0, one without
    any signal for T = infinity.
    """

    def fit(self) -> Fit:
        temperature = yield from best_temperature()
        return FittedTempScale(temperature)


@dataclass(frozen=True)
class FittedTempScale:
    temperature: float

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return log_confidence_at(batch, self.temperature)

    def learned(self) -> dict[str, float]:
        return {"temperature": self.temperature}
