"""Relative uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Split
from ood_bench.registry import scorer
from ood_bench.types import LOGITS, VAL, VAL_LABELS, Info


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums of p p^T over the correctly and the wrongly classified rows, and how many of each there were."""

    counts: Float[Tensor, "2"]
    sums: Float[Tensor, "2 K K"]

    @property
    def means(self) -> Float[Tensor, "2 K K"]:
        """Means; zero for a kind without rows."""
        return self.sums / self.counts.clamp_min(1)[:, None, None]


@dataclass(frozen=True)
class Pairs:
    """Mean p p^T of the correctly and of the wrongly classified rows, in float64."""

    temperature: float
    split: Split = "val"

    def add(self, partial: PairSums | None, batch: Batch) -> PairSums:
        p = softmax_at(batch.double, self.temperature)
        right = batch.predicted == batch.labels
        kinds = [p[right], p[~right]]
        counts = torch.tensor([len(rows) for rows in kinds], dtype=p.dtype, device=p.device)
        here = PairSums(counts, torch.stack([rows.T @ rows for rows in kinds]))
        return here if partial is None else self.merge(partial, here)

    def merge(self, a: PairSums, b: PairSums) -> PairSums:
        return PairSums(a.counts + b.counts, a.sums + b.sums)

    def result(self, partial: PairSums) -> PairSums:
        return partial


def softmax_at(batch: Batch, temperature: float) -> Float[Tensor, "n K"]:
    """softmax(z / T)."""
    return batch.probabilities if temperature == 1.0 else torch.softmax(batch.logits / temperature, dim=1)


@scorer("rel-u", paper="Gomes et al., ICLR 2024 (Rel-U), arXiv:2306.01710", needs=(LOGITS, VAL, VAL_LABELS))
@dataclass(frozen=True)
class RelU:
    """-p^T D p: how much p lies on pairs of classes that errors confuse; in [-1, 0].

    D = relu(lam E_wrong[p p^T] - (1 - lam) E_correct[p p^T]) over ID validation rows, diagonal zero, Frobenius length 1,
    lam = 0.5 and T = 1 as in the authors' methods.py. Where nothing is left of D (a validation set without errors among
    others, where the authors' mean of nothing is NaN), all pairs count alike: the Gini index, as theirs does.
    """

    lam: Annotated[float, Range(0, 1)] = 0.5
    temperature: Annotated[float, Range(0, above=True)] = 1.0

    def resolve(self, info: Info) -> RelU:
        if info.classes < 2:
            raise CannotScore(f"rel-u needs at least 2 classes, got K={info.classes}")
        return self

    def fit(self) -> Fit:
        pairs = yield Pairs(self.temperature)
        correct, wrong = pairs.means
        weights = (self.lam * wrong - (1 - self.lam) * correct).relu().fill_diagonal_(0.0)
        is_gini = not bool((weights > 0).any())
        if is_gini:
            weights = torch.ones_like(weights).fill_diagonal_(0.0)
        return FittedRelU(weights / torch.linalg.matrix_norm(weights), self.temperature, is_gini)


@dataclass(frozen=True)
class FittedRelU:
    weights: Float[Tensor, "K K"]
    temperature: float
    is_gini: bool

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        p = softmax_at(batch, self.temperature)
        return -((p @ self.weights.to(p)) * p).sum(dim=1)

    def learned(self) -> dict[str, bool]:
        return {"gini": self.is_gini}
