"""NCI: nearness of the features to the predicted class's weight vector, and their norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import features
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Mean
from ood_bench.registry import scorer
from ood_bench.scorers.fdbd import SHORTEST, deviation
from ood_bench.scorers.gradnorm import feature_l1
from ood_bench.selection import dot_chosen
from ood_bench.types import FEATURES, FIT, HEAD, LOGITS


@scorer("nci", paper="Liu & Qin, CVPR 2025, arXiv:2311.01479", needs=(LOGITS, FEATURES, HEAD, FIT))
@dataclass(frozen=True)
class NCI:
    """<w_y, h - mu> / ||h - mu|| + alpha ||h||_1; y is the predicted class, mu the fit mean.

    alpha = 1e-4 as in the authors' configuration, which tunes it over 1e-4 .. 1e-1. Features equal to mu have first
    term 0.
    """

    alpha: Annotated[float, Range(0)] = 1e-4

    def fit(self) -> Fit:
        return FittedNCI(self.alpha, (yield Mean(features)))


@dataclass(frozen=True)
class FittedNCI:
    alpha: float
    mean: Float[Tensor, " d"]

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        weight = batch.head.weight.to(batch.features)
        along = dot_chosen(batch.features - self.mean.to(batch.features), weight, batch.predicted)
        return along / deviation(batch, self.mean).clamp_min(SHORTEST) + self.alpha * feature_l1(batch)
