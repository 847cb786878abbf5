"""GradNorm of the last layer, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, LOGITS


def feature_l1(batch: Batch) -> Float[Tensor, " n"]:
    """Sum of the absolute features."""
    return batch.once("feature l1", lambda: batch.features.abs().sum(dim=1))


@scorer("gradnorm", paper="Huang et al., NeurIPS 2021, arXiv:2110.00218", needs=(LOGITS, FEATURES))
@dataclass(frozen=True)
class GradNorm:
    """||h||_1 sum_c |K p_c - 1|, at temperature 1; in [0, 2 (K - 1) ||h||_1].

    This is the L1 norm of the gradient, with respect to the head's weights, of the cross-entropy against K times the
    uniform distribution: an outer product of h and K p - 1. The authors run one backward pass per sample for the same
    number. The bias's gradient is left out, as by them.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return feature_l1(batch) * (batch.probabilities * batch.n_classes - 1).abs_().sum(dim=1)
