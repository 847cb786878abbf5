"""ReAct: features clipped from above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.quantiles import quantile
from ood_bench.reductions import Fit
from ood_bench.registry import rectifier
from ood_bench.types import FEATURES, HEAD


@rectifier("react", paper="Sun et al., NeurIPS 2021, arXiv:2111.12797", needs=(FEATURES, HEAD))
@dataclass(frozen=True)
class ReAct:
    """min(h, c) per entry, c the q-quantile of all entries of the fit features (one number, not one per dimension).

    q = 0.99 as in ViM's benchmark.py; the paper's is 0.9, and the authors' demo for ResNet-50 fixes c = 1, which
    `threshold=1.0` does without a fit set.
    """

    q: Annotated[float, Range(0, 1)] = 0.99
    threshold: float | None = None

    def fit(self) -> Fit:
        if self.threshold is not None:
            return Clipped(self.threshold)
        return Clipped(float((yield from quantile(self.q))))


@dataclass(frozen=True)
class Clipped:
    """A fitted ReAct: the largest value that a feature may have."""

    threshold: float

    def rectify(self, batch: Batch) -> Batch:
        return batch.replace(features=batch.features.clamp(max=self.threshold))

    def learned(self) -> dict[str, float]:
        return {"threshold": self.threshold}
