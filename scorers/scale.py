"""SCALE: all features of a sample magnified by what its largest ones are of the sum."""

from __future__ import annotations

from dataclasses import dataclass

from ood_bench.batch import Batch
from ood_bench.registry import rectifier
from ood_bench.scorers.ash import ASSUMES, Percent, feature_sum, magnification, magnified, n_kept
from ood_bench.types import FEATURES, HEAD, Info


@rectifier("scale", paper="Xu et al., ICLR 2024, arXiv:2310.00227", needs=(FEATURES, HEAD), assumes=ASSUMES)
@dataclass(frozen=True)
class Scale:
    """h exp(s1 / s2), nothing pruned: s1 sums all features of the row, s2 its largest (100 - p) %; p = 85.

    A row of zeros stays zero.
    """

    p: Percent = 85.0

    def resolve(self, info: Info) -> Scale:
        n_kept(self.p, info.dim, "scale")
        return self

    def rectify(self, batch: Batch) -> Batch:
        features = batch.features
        kept = batch.top_features(n_kept(self.p, features.shape[1], "scale")).sum(dim=1)
        ratio = magnification(batch, feature_sum(batch), kept, "scale")
        return batch.replace(features=features * magnified(ratio, "scale"))
