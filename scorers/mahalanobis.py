"""Mahalanobis distances to classes with one shared covariance, and the whitened coordinates that they are taken in."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import features, unit_features
from ood_bench.errors import CannotScore
from ood_bench.reductions import ClassMeans, ClassMeansResult, Fit, Moments, MomentsResult
from ood_bench.registry import scorer
from ood_bench.selection import argmax
from ood_bench.types import FEATURES, FIT, FIT_LABELS

LEE = "Lee et al., NeurIPS 2018, arXiv:1807.03888"
REN = "Ren et al., 2021, arXiv:2106.09022"
MUELLER = "Mueller & Hein, ICML 2025, arXiv:2505.18032"
NEEDS = (FEATURES, FIT, FIT_LABELS)
T = TypeVar("T")


@scorer("mds", paper=LEE, needs=NEEDS, aliases=("mahalanobis",))
@dataclass(frozen=True)
class MDS:
    """Minus the smallest squared Mahalanobis distance to a class mean, -min_c (h - mu_c)' S^-1 (h - mu_c); in (-inf, 0].

    S is the within-class scatter over n (maximum likelihood), S^-1 its pseudo-inverse (see `whitening`). Last features
    only: no inner layers, no input perturbation. Classes without fit rows are left out.
    """

    def fit(self) -> Fit:
        _, classes = yield from learn(unit=False)
        return FittedMDS(classes)


@scorer("rmds", paper=REN, needs=NEEDS, aliases=("relative-mahalanobis",))
@dataclass(frozen=True)
class RMDS:
    """-(min_c d_c - d_0): `mds` relative to the squared distance from one Gaussian over all fit rows.

    d_0 takes the overall mean and the total scatter over n.
    """

    def fit(self) -> Fit:
        moments, classes = yield from learn(unit=False)
        return relative(classes, background(moments, unit=False))


@scorer("mds-pp", paper=MUELLER, needs=NEEDS, aliases=("mds++", "mahalanobis++"))
@dataclass(frozen=True)
class MDSPlusPlus:
    """`mds` of features divided by their length, at the fit and at scoring; a zero row stays zero."""

    def fit(self) -> Fit:
        _, classes = yield from learn(unit=True)
        return FittedMDS(classes)


@scorer("rmds-pp", paper=MUELLER, needs=NEEDS, aliases=("rmds++",))
@dataclass(frozen=True)
class RMDSPlusPlus:
    """`rmds` of features divided by their length, at the fit and at scoring; a zero row stays zero."""

    def fit(self) -> Fit:
        moments, classes = yield from learn(unit=True)
        return relative(classes, background(moments, unit=True))


@dataclass(frozen=True, eq=False, repr=False)
class Space:
    """Coordinates in which a covariance is the identity: (h - origin) @ basis, of h or of h / |h|."""

    origin: Float[Tensor, " d"]
    basis: Float[Tensor, "d r"]
    unit: bool

    def coordinates(self, batch: Batch) -> Float[Tensor, "n r"]:
        """The batch's rows in this space; computed once for all scorers that share it."""
        return batch.once(self, lambda: self._coordinates(batch))

    def _coordinates(self, batch: Batch) -> Float[Tensor, "n r"]:
        rows = batch.unit_features if self.unit else batch.features
        return (rows - self.origin.to(rows)) @ self.basis.to(rows)

    def __repr__(self) -> str:  # the name of this shared work in the account of seconds
        return "whitened unit features" if self.unit else "whitened features"


@dataclass(frozen=True, eq=False, repr=False)
class Classes:
    """Class means in the space where the within-class covariance is the identity."""

    space: Space
    means: Float[Tensor, "C r"]

    def squared_distance(self, batch: Batch) -> Float[Tensor, " n"]:
        """Squared Mahalanobis distance to the nearest class mean."""
        return batch.once(self, lambda: nearest_distance(self.space.coordinates(batch), self.means).square())

    def __repr__(self) -> str:
        return f"nearest class by {self.space}"


@dataclass(frozen=True)
class FittedMDS:
    classes: Classes

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return -self.classes.squared_distance(batch)


@dataclass(frozen=True)
class FittedRMDS:
    classes: Classes
    background: Space

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        from_all = self.background.coordinates(batch).square().sum(dim=1)
        return from_all - self.classes.squared_distance(batch)


def relative(classes: Classes, overall: Space) -> FittedRMDS:
    """The difference of the two distances; with one class they are the same distance and only rounding would be left."""
    if len(classes.means) < 2:
        raise CannotScore("a relative Mahalanobis distance needs fit rows of at least 2 classes, got rows of 1")
    return FittedRMDS(classes, overall)


def learn(*, unit: bool) -> Fit:
    """Moments of the (unit) features, and the classes in their whitened space; every scorer here shares both."""
    column = unit_features if unit else features
    moments, means = yield Moments(column), ClassMeans(of=column)
    return moments, _kept(moments, weakref.ref(means), lambda: _classes(moments, means, unit))


def background(moments: MomentsResult, *, unit: bool) -> Space:
    """The space in which the covariance of all fit rows together is the identity."""

    def make() -> Space:
        return Space(moments.mean, whitening(moments.spectrum(), moments), unit)

    return _kept(moments, "all", make)


def whitening(
    spectrum: tuple[Float[Tensor, " d"], Float[Tensor, "d d"]], moments: MomentsResult
) -> Float[Tensor, "d r"]:
    """Eigenvectors over the roots of their eigenvalues (the spectrum of a covariance): a root of the pseudo-inverse.

    Directions are dropped whose eigenvalue is at most eps (float64) times the trace of the total covariance: dead units,
    and what lies outside the span of the fit rows. The trace of the *total* one, because within = total - between
    carries its rounding.
    """
    values, vectors = spectrum
    floor = torch.finfo(torch.float64).eps * moments.covariance.diagonal().sum()
    kept = values > floor
    if not bool(kept.any()):
        raise CannotScore("a Mahalanobis distance needs fit features that vary (within a class), got none that do")
    return vectors[:, kept] / values[kept].sqrt()


def nearest_distance(rows: Float[Tensor, "n r"], centres: Float[Tensor, "C r"]) -> Float[Tensor, " n"]:
    """Euclidean distance to the nearest centre.

    Which one is nearest comes from one product; the distance itself from the difference, so that |a|^2 - 2ab + |b|^2
    costs no digits.
    """
    centres = centres.to(rows)
    distance: Tensor = torch.linalg.vector_norm(rows - centres.index_select(0, nearest_index(rows, centres)), dim=1)
    return distance


def nearest_index(rows: Float[Tensor, "n r"], centres: Float[Tensor, "C r"]) -> Int[Tensor, " n"]:
    """Which centre is nearest, from one product: |a - b|^2 is least where ab - |b|^2 / 2 is largest."""
    return argmax(torch.addmm(-centres.square().sum(dim=1) / 2, rows, centres.T))


def _classes(moments: MomentsResult, means: ClassMeansResult, unit: bool) -> Classes:
    labelled = int(means.counts.sum())
    if labelled != moments.n:
        raise CannotScore(f"a within-class covariance needs a label on every fit row, got {labelled} of {moments.n}")
    within = (moments.scatter - means.between) / moments.n
    values, vectors = torch.linalg.eigh(within)
    space = Space(moments.mean, whitening((values, vectors), moments), unit)
    return Classes(space, (means.means[means.present] - moments.mean) @ space.basis)


# What was derived from a reduction's result lives as long as that result, which all scorers of a fit share.
_derived: weakref.WeakKeyDictionary[MomentsResult, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def _kept(moments: MomentsResult, key: Hashable, make: Callable[[], T]) -> T:
    held = _derived.setdefault(moments, {})
    if key not in held:
        held[key] = make()
    return held[key]  # type: ignore[no-any-return]  # what `make` returned
