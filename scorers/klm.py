"""KL-matching."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import probabilities
from ood_bench.reductions import ClassMeans, Fit
from ood_bench.registry import scorer
from ood_bench.scorers.entropy import negative_entropy
from ood_bench.types import FIT, LOGITS


@scorer(
    "klm",
    paper="Hendrycks et al., ICML 2022, arXiv:1911.11132",
    needs=(LOGITS, FIT),
    aliases=("kl-matching",),
    precision="float64",
)
@dataclass(frozen=True)
class KLMatching:
    """-min_k KL(p || d_k), d_k the mean softmax of the fit rows that are predicted as class k; in (-inf, 0].

    One product: KL(p || d_k) = sum p log p - p . log d_k. A class that no fit row is predicted as has no d_k and is left
    out (OpenOOD gives it a one-hot d_k, infinitely far from everything; pytorch-ood before 0.4 averaged by true label).
    The fit set is the ID training set, as in ViM's benchmark; `klm:fit=val` is OpenOOD's. Entries of d_k that underflow
    in float64 count as its smallest normal number.
    """

    def fit(self) -> Fit:
        classes = yield ClassMeans(by="predicted", of=probabilities)
        typical = classes.means[classes.present]
        return FittedKLMatching(typical.clamp_min(torch.finfo(typical.dtype).tiny).log())


@dataclass(frozen=True)
class FittedKLMatching:
    log_typical: Float[Tensor, "C K"]

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        cross = batch.probabilities @ self.log_typical.to(batch.logits).T
        return cross.amax(dim=1) - negative_entropy(batch)

    def learned(self) -> dict[str, int]:
        return {"classes": len(self.log_typical)}
