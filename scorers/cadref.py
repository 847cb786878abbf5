"""CARef and CADRef: error of the features against the mean of the predicted class, relative to their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import confidence, logsumexp, max_logit
from ood_bench.errors import CannotScore
from ood_bench.reductions import ClassMeans, ClassMeansResult, Fit, Mean
from ood_bench.registry import scorer
from ood_bench.scorers.gradnorm import feature_l1
from ood_bench.types import FEATURES, FIT, HEAD, LOGITS

PAPER = "Ling et al. (CADRef), CVPR 2025; github.com/LingAndZero/CADRef"
SMALLEST = 1e-6  # what a logit term, or a sum of absolute features, at or below zero counts as


LOGIT_TERMS = {"energy": logsumexp, "maxlogit": max_logit, "msp": confidence}


@scorer("caref", paper=PAPER, needs=(LOGITS, FEATURES, FIT))
@dataclass(frozen=True)
class CARef:
    """-||h - mu_y||_1 / ||h||_1: y is the predicted class, mu_y the mean of the fit features predicted as y; <= 0.

    A class that no fit row is predicted as has the mean of all, where the authors' code stops.
    """

    def fit(self) -> Fit:
        return FittedCARef(_means((yield ClassMeans(by="predicted"))))


@dataclass(frozen=True)
class FittedCARef:
    means: Float[Tensor, "K d"]

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        error = batch.features - self.means.to(batch.features).index_select(0, batch.predicted)
        return -error.abs_().sum(dim=1) / feature_l1(batch).clamp_min(SMALLEST)


@scorer("cadref", paper=PAPER, needs=(LOGITS, FEATURES, HEAD, FIT))
@dataclass(frozen=True)
class CADRef:
    """-(e+ / L(z) + e- / mean L): CARef's error in two parts, by whether it raises or lowers the predicted logit.

    e+ sums max((h - mu_y) sign w_y, 0) over ||h||_1, e- the negative part. L is the energy, the authors' default, or the
    largest logit or probability (`logit=maxlogit`, `msp`; their fourth, GEN, is left out); mean L is over the fit set.
    Where L is not positive it counts as 1e-6: the authors' sign flips there, so that no evidence would look like much.
    """

    logit: Literal["energy", "maxlogit", "msp"] = "energy"

    def fit(self) -> Fit:
        means, typical = yield ClassMeans(by="predicted"), Mean(LOGIT_TERMS[self.logit])
        if not typical > 0:
            raise CannotScore(
                f"cadref needs a positive mean {self.logit} of the fit set, got {float(typical):.3g}; try logit=msp"
            )
        return FittedCADRef(self.logit, _means(means), float(typical))


@dataclass(frozen=True)
class FittedCADRef:
    logit: Literal["energy", "maxlogit", "msp"]
    means: Float[Tensor, "K d"]
    typical: float

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        features, y = batch.features, batch.predicted
        error = features - self.means.to(features).index_select(0, y)
        error.mul_(batch.head.weight.sign().index_select(0, y))
        raising, lowering = error.clamp_min(0).sum(dim=1), -error.clamp_max_(0).sum(dim=1)
        size = feature_l1(batch).clamp_min(SMALLEST)
        term = LOGIT_TERMS[self.logit](batch).clamp_min(SMALLEST)
        return -(raising / size / term + lowering / size / self.typical)

    def learned(self) -> dict[str, float]:
        return {f"mean {self.logit}": self.typical}


def _means(groups: ClassMeansResult) -> Float[Tensor, "K d"]:
    overall = groups.sums.sum(dim=0) / groups.counts.sum()
    return torch.where((groups.counts > 0)[:, None], groups.means, overall)
