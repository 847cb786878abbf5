"""Mowst's confidences: dispersion of the softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.registry import scorer
from ood_bench.scorers.doctor import gini
from ood_bench.scorers.entropy import negative_entropy
from ood_bench.types import Info

PAPER = "Zeng et al., ICLR 2024 (Mowst), arXiv:2311.05185; the authors' train_test_engine.py"


@scorer("mowst-variance", paper=PAPER, precision="float64")
@dataclass(frozen=True)
class MowstVariance:
    """Variance of the softmax over that of a one-hot vector, (K sum_k p_k^2 - 1) / (K - 1); in [0, 1].

    Of the softmax, as in the released code; the paper speaks of logits. Ranks as `doctor-alpha`. Its power (alpha) and
    gate are trained and change no rank, or are not post-hoc.
    """

    def resolve(self, info: Info) -> MowstVariance:
        _two_classes("mowst-variance", info)
        return self

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        k = batch.n_classes
        return 1 - k / (k - 1) * gini(batch)[0]


@scorer("mowst-entropy", paper=PAPER, precision="float64")
@dataclass(frozen=True)
class MowstEntropy:
    """1 - H(p) / log K, in [0, 1]. Ranks as `entropy`; see there."""

    def resolve(self, info: Info) -> MowstEntropy:
        _two_classes("mowst-entropy", info)
        return self

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return 1 + negative_entropy(batch) / math.log(batch.n_classes)


def _two_classes(name: str, info: Info) -> None:
    if info.classes < 2:
        raise CannotScore(f"{name} needs at least 2 classes, got K={info.classes}")
