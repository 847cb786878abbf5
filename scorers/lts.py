"""LTS: logits scaled by what a sample's largest features are of the sum."""

from __future__ import annotations

from dataclasses import dataclass

from ood_bench.batch import Batch
from ood_bench.registry import rectifier
from ood_bench.scorers.ash import Percent, magnification, n_kept
from ood_bench.types import FEATURES, LOGITS, Info


@rectifier("lts", paper="Djurisic et al., 2024, arXiv:2409.01175", needs=(LOGITS, FEATURES))
@dataclass(frozen=True)
class LTS:
    """z (s1 / s2)^2: s1 sums max(h, 0) over the row, s2 over its largest (100 - p) %; p = 95. Features stay as they are.

    The ReLU is in the authors' lts.py, not in the paper's text. A row of zeros keeps its logits.
    """

    p: Percent = 95.0

    def resolve(self, info: Info) -> LTS:
        n_kept(self.p, info.dim, "lts")
        return self

    def rectify(self, batch: Batch) -> Batch:
        features = batch.features
        kept = batch.top_features(n_kept(self.p, features.shape[1], "lts")).relu().sum(dim=1)
        total = batch.once("sum of positive features", lambda: features.relu().sum(dim=1))
        ratio = magnification(batch, total, kept, "lts")
        return batch.replace(logits=batch.logits * ratio.square()[:, None])
