"""Accuracy of an unlabelled set from the matrix of its probabilities, or from how its features lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ood_bench.columns import features, probabilities
from ood_bench.errors import CannotScore
from ood_bench.reductions import ClassMeans, Fit, Moments, MomentsResult
from ood_bench.registry import estimator
from ood_bench.types import FEATURES, FIT, LOGITS


@estimator("nuclear", paper="Deng et al., ICML 2023, arXiv:2302.01094", aliases=("nuclear-norm",))
@dataclass(frozen=True)
class Nuclear:
    """Nuclear norm of the (n, K) matrix of probabilities over sqrt(min(n, K) n), in (0, 1]: confident and dispersed.

    From the eigenvalues of the K x K Gram matrix, so that rows are streamed.
    """

    def estimate(self) -> Fit:
        moments: MomentsResult = yield Moments(probabilities, split="target")
        gram = moments.about(torch.zeros_like(moments.mean)) * moments.n
        norm = float(torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().sum())
        return norm / math.sqrt(min(moments.n, len(moments.mean)) * moments.n)


@estimator("dispersion", paper="Xie et al., NeurIPS 2023, arXiv:2303.15488", needs=(LOGITS, FEATURES))
@dataclass(frozen=True)
class Dispersion:
    """Log of the scatter between the predicted classes' feature means, sum_j n_j |mu_j - mu|^2 / (K - 1).

    The scatter is a sum over rows, not a mean: compare sets of one size.
    """

    def estimate(self) -> Fit:
        classes = yield ClassMeans(by="predicted", of=features, split="target")
        scatter = float(classes.between.trace()) / (len(classes.counts) - 1)
        if scatter <= 0:
            raise CannotScore("dispersion needs a set on which at least two classes are predicted, got one")
        return math.log(scatter)


@estimator("frechet", paper="Deng & Zheng, CVPR 2021, arXiv:2007.02915", needs=(LOGITS, FEATURES, FIT))
@dataclass(frozen=True)
class Frechet:
    """Minus the Frechet distance between the features of the target and of the ID fit set, as Gaussians; in (-inf, 0]."""

    def fit(self) -> Fit:
        source: MomentsResult = yield Moments(features, split="fit")
        return FittedFrechet(source)


@dataclass(frozen=True, eq=False)
class FittedFrechet:
    source: MomentsResult

    def estimate(self) -> Fit:
        target: MomentsResult = yield Moments(features, split="target")
        values, vectors = self.source.spectrum()
        root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
        # Tr (S_s S_t)^(1/2) from the symmetric S_s^(1/2) S_t S_s^(1/2), which has the same eigenvalues
        crossed = torch.linalg.eigvalsh(root @ target.covariance @ root).clamp_min(0).sqrt().sum()
        spread = self.source.covariance.trace() + target.covariance.trace() - 2 * crossed
        return -float((self.source.mean - target.mean).square().sum() + spread)
