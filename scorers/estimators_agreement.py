"""Accuracy of an unlabelled set from how often two checkpoints agree on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.reductions import Fit, Mean
from ood_bench.registry import estimator
from ood_bench.types import LOGITS, SECOND


def agrees(batch: Batch) -> Float[Tensor, " n"]:
    """1 where both checkpoints predict the same class, else 0. The engine lays the other's beside the batch."""
    return (batch.predicted == batch.once(SECOND, _absent)).double()


def _absent() -> Tensor:
    raise CannotScore("agreement needs the second checkpoint's predictions on the same rows of this set")


@estimator(
    "agreement",
    paper="Jiang et al., ICLR 2022 (GDE), arXiv:2106.13799",
    needs=(LOGITS, SECOND),
    aliases=("gde", "agreescore"),
)
@dataclass(frozen=True)
class Agreement:
    """Share of rows on which a second checkpoint, trained alike from another seed, predicts the same class."""

    on_accuracy_scale: ClassVar[bool] = True

    def estimate(self) -> Fit:
        return float((yield Mean(agrees, split="target")))
