"""What a reduction may be taken of: functions from a batch to one row (or number) per sample, shared by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.batch import Batch

Column: TypeAlias = Callable[[Batch], Float[Tensor, "n ..."]]


def features(batch: Batch) -> Float[Tensor, "n d"]:
    """Penultimate features."""
    return batch.features


def unit_features(batch: Batch) -> Float[Tensor, "n d"]:
    """Features divided by their length, in float64: statistics of them are wanted exactly."""
    return batch.double.unit_features


def logits(batch: Batch) -> Float[Tensor, "n K"]:
    """Logits."""
    return batch.logits


def probabilities(batch: Batch) -> Float[Tensor, "n K"]:
    """Softmax of the logits, in float64."""
    return batch.double.probabilities


def max_logit(batch: Batch) -> Float[Tensor, " n"]:
    """The largest logit."""
    return batch.max_logit


def confidence(batch: Batch) -> Float[Tensor, " n"]:
    """The largest softmax probability."""
    return batch.confidence


def logsumexp(batch: Batch) -> Float[Tensor, " n"]:
    """log sum exp of the logits (the energy score at temperature 1)."""
    return batch.logsumexp


def labels(batch: Batch) -> Int[Tensor, " n"]:
    """Class numbers; -1 = none."""
    return batch.labels
