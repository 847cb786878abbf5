"""Simplified Hopfield energy: likeness to the stored pattern of the predicted class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.reductions import ClassMeans, Fit
from ood_bench.registry import scorer
from ood_bench.selection import dot_chosen
from ood_bench.types import FEATURES, FIT, FIT_LABELS, LOGITS


@scorer("she", paper="Zhang et al., ICLR 2023, openreview KkazG4lgKL", needs=(LOGITS, FEATURES, FIT, FIT_LABELS))
@dataclass(frozen=True)
class SHE:
    """<h, S_y>, y the predicted class and S_y the mean of the fit rows of class y that are predicted right.

    A class of which no fit row is right has no pattern (NaN in the authors' code): it takes the mean of all fit rows
    with that label, and without any the mean of all fit rows. `classes_without_pattern` is recorded.
    """

    def fit(self) -> Fit:
        correct, labelled = yield ClassMeans("correct"), ClassMeans("label")
        overall = labelled.sums.sum(dim=0) / labelled.counts.sum()
        fallback = torch.where(labelled.counts[:, None] > 0, labelled.means, overall)
        known = correct.counts > 0
        return FittedSHE(torch.where(known[:, None], correct.means, fallback), int((~known).sum()))


@dataclass(frozen=True)
class FittedSHE:
    patterns: Float[Tensor, "K d"]
    without_pattern: int

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return dot_chosen(batch.features, self.patterns.to(batch.features), batch.predicted)

    def learned(self) -> dict[str, int]:
        return {"classes_without_pattern": self.without_pattern}
