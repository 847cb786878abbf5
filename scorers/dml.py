"""Decoupled MaxLogit: the largest logit taken apart into a cosine and a norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Mean
from ood_bench.registry import scorer
from ood_bench.scorers.cosine import max_cosine
from ood_bench.types import FEATURES, HEAD


def feature_norm(batch: Batch) -> Float[Tensor, " n"]:
    """Euclidean length of the features."""
    return batch.feature_norm


@scorer(
    "dml",
    paper="Zhang & Xiang, CVPR 2023 (Decoupling MaxLogit for Out-of-Distribution Detection)",
    needs=(FEATURES, HEAD),
)
@dataclass(frozen=True)
class DML:
    """lam max_c cos(h, w_c) + ||h||.

    The paper tunes lam and no code of the authors' was found. `auto`, ours: the fit set's mean ||h|| over its mean
    largest cosine, where to first order the sum ranks as the largest logit of a head with rows of one length and no
    bias; a larger lam gives the cosine more weight, which the paper finds better. DML+ needs two networks.
    """

    lam: Annotated[float, Range(0)] | Literal["auto"] = "auto"

    def fit(self) -> Fit:
        if not isinstance(self.lam, str):
            return FittedDML(float(self.lam))
        norm, cosine = yield Mean(feature_norm), Mean(max_cosine)
        if not cosine > 0:
            raise CannotScore(
                f"dml:lam=auto needs fit features that point along the head, but their mean largest cosine is "
                f"{float(cosine):.3g}; give lam=..."
            )
        return FittedDML(float(norm / cosine))


@dataclass(frozen=True)
class FittedDML:
    lam: float

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.lam * max_cosine(batch) + batch.feature_norm

    def learned(self) -> dict[str, float]:
        return {"lam": self.lam}
