"""VRA: features set to zero where low, clipped where high."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.quantiles import quantile
from ood_bench.reductions import Fit, Question
from ood_bench.registry import rectifier
from ood_bench.types import FEATURES, HEAD


@rectifier("vra", paper="Xu et al., NeurIPS 2023, arXiv:2302.11716", needs=(FEATURES, HEAD))
@dataclass(frozen=True)
class VRA:
    """0 where h < lo, hi where h > hi, h + lam between; lo and hi are quantiles of the fit features, by dimension.

    low = 0.6, high = 0.9 and lam = 0 are the authors' for CIFAR-10 (their readme); VRA+ has lam > 0. For a ResNet-50 on
    ImageNet they fix `threshold_low=0.5,threshold_high=1.0`, which needs no fit set. `below=clip` raises low entries to
    lo instead, and `per_dimension=false` takes quantiles over all entries: OpenOOD's version has both.
    """

    low: Annotated[float, Range(0, 1)] = 0.6
    high: Annotated[float, Range(0, 1)] = 0.9
    lam: float = 0.0
    threshold_low: float | None = None
    threshold_high: float | None = None
    below: Literal["zero", "clip"] = "zero"
    per_dimension: bool = True

    def __post_init__(self) -> None:
        low, high = self.threshold_low, self.threshold_high
        if low is None and high is None:
            low, high = self.low, self.high
        if low is not None and high is not None and low > high:
            raise ValueError(f"the lower bound should be at most the upper one, got {low} > {high}")

    def fit(self) -> Fit:
        bounds = {"low": (self.low, self.threshold_low), "high": (self.high, self.threshold_high)}
        asked = {name: q for name, (q, fixed) in bounds.items() if fixed is None}
        found = yield from _abreast({name: quantile(q, per_column=self.per_dimension) for name, q in asked.items()})
        low, high = (
            torch.tensor(fixed, dtype=torch.float64) if fixed is not None else found[name]
            for name, (_, fixed) in bounds.items()
        )
        return FittedVRA(self, low, high)


@dataclass(frozen=True)
class FittedVRA:
    options: VRA
    low: Float[Tensor, "..."]
    high: Float[Tensor, "..."]

    def rectify(self, batch: Batch) -> Batch:
        features = batch.features
        low, high = self.low.to(features), self.high.to(features)
        between = features + self.options.lam if self.options.lam else features
        floor = torch.zeros_like(low) if self.options.below == "zero" else low
        return batch.replace(features=torch.where(features < low, floor, torch.where(features > high, high, between)))


def _abreast(talks: dict[str, Generator[Question[Any, Any], Any, Any]]) -> Generator[Any, Any, dict[str, Any]]:
    """What several conversations of single questions come to, led side by side so that they share the passes."""
    results: dict[str, Any] = {}
    waiting = {name: next(talk) for name, talk in talks.items()}
    while waiting:
        answers = dict(zip(waiting, (yield tuple(waiting.values())), strict=True))
        for name, answer in answers.items():
            try:
                waiting[name] = talks[name].send(answer)
            except StopIteration as stop:
                del waiting[name]
                results[name] = stop.value
    return results
