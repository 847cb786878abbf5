"""Accuracy of an unlabelled set from optimal transport between its probabilities and the labels of ID validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from scipy.optimize import linprog
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Mean, Sample, Split
from ood_bench.registry import estimator
from ood_bench.scorers.estimators_confidence import correct
from ood_bench.scorers.tempscale import best_temperature
from ood_bench.types import LOGITS, VAL, VAL_LABELS

PAPER = "Lu et al., NeurIPS 2023 (COT, COTT), arXiv:2305.15640"
LEARNS = (LOGITS, VAL, VAL_LABELS)
Rows = Annotated[int, Range(1)]
ROWS = 10_000  # the authors' batch


@dataclass(frozen=True)
class Probabilities:
    """softmax(z / T)."""

    temperature: float

    def __call__(self, batch: Batch) -> Float[Tensor, "n K"]:
        return torch.softmax(batch.double.logits / self.temperature, dim=1)


def one_hot_labels(batch: Batch) -> Float[Tensor, "n K"]:
    """Labels as rows of zeros and a one."""
    return torch.nn.functional.one_hot(batch.labels, batch.n_classes).double()


def transport(p: Float[np.ndarray, "n K"], marginal: Float[np.ndarray, " K"]) -> Float[np.ndarray, "n K"]:
    """The plan of least cost between rows of mass 1/n and classes of mass `marginal`, at cost |e_k - p_i|_1 / 2 = 1 - p_ik.

    Exact: HiGHS' dual simplex on the transportation problem. Each class stands once with its mass, so the problem has
    n K variables and not the n^2 of the authors' expanded one.
    """
    n, k = p.shape
    equal = scipy.sparse.vstack(
        [
            scipy.sparse.kron(scipy.sparse.eye(n), np.ones((1, k))),
            scipy.sparse.kron(np.ones((1, n)), scipy.sparse.eye(k)),
        ]
    ).tocsr()[:-1]  # the last equation follows from the others
    # Masses in units of a row: numbers of order one suit the solver's tolerance better than 1/n.
    masses = np.concatenate([np.ones(n), marginal * n])[:-1]
    cost = (1 - p).ravel()
    solved = linprog(cost, A_eq=equal, b_eq=masses, method="highs-ds")  # type: ignore[call-overload]  # sparse
    if solved.x is None:
        raise CannotScore(f"cot found no plan: {solved.message}")
    plan: np.ndarray = solved.x.reshape(n, k) / n
    return plan


@dataclass(frozen=True)
class Plan:
    """Probabilities of `rows` drawn rows, and the best plan between them and classes of mass `marginal`.

    A question, so that all estimators which ask for one plan share it.
    """

    of: Probabilities
    marginal: tuple[float, ...]
    rows: int
    seed: int
    split: Split = "target"

    @property
    def sample(self) -> Sample:
        return Sample(self.rows, self.seed, of=self.of, split=self.split)

    def add(self, partial: tuple[Tensor, Tensor] | None, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.sample.add(partial, batch)

    def merge(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self.sample.merge(a, b)

    def result(self, partial: tuple[Tensor, Tensor]) -> tuple[Float[np.ndarray, "n K"], Float[np.ndarray, "n K"]]:
        p = self.sample.result(partial).cpu().numpy()
        return p, transport(p, np.array(self.marginal))


@dataclass(frozen=True)
class FittedCOT:
    plan: Plan

    def estimate(self) -> Fit:
        p, plan = yield self.plan
        return float((plan * p).sum()), {"temperature": self.plan.of.temperature, "rows": len(p)}


@estimator("cot", paper=PAPER, needs=LEARNS)
@dataclass(frozen=True)
class COT:
    """1 - the exact optimal-transport cost between temperature-scaled probabilities and ID validation's label frequencies.

    Of a larger set `rows` are drawn (recorded); the authors' batch is 10,000, their label frequencies are assumed.
    """

    on_accuracy_scale: ClassVar[bool] = True
    rows: Rows = ROWS
    seed: int = 0

    def fit(self) -> Fit:
        of = Probabilities((yield from best_temperature()))
        marginal = yield Mean(one_hot_labels, split="val")
        return FittedCOT(Plan(of, tuple(marginal.tolist()), self.rows, self.seed))


Score = Literal["mc", "ne"]


def confidence_of(p: Float[np.ndarray, "n K"], score: Score) -> Float[np.ndarray, "n K"]:
    """How well row i and class k match: minus |e_k - p_i|_1 (`mc`), or the negative entropy of (p_i + e_k) / 2 (`ne`)."""
    if score == "mc":
        return -2 * (1 - p)
    half = p / 2
    plain = _xlogx(half)
    entropy: np.ndarray = plain.sum(axis=1, keepdims=True) - plain + _xlogx(half + 0.5)
    return entropy


def _xlogx(values: Float[np.ndarray, "n K"]) -> Float[np.ndarray, "n K"]:
    terms: np.ndarray = values * np.log(np.where(values > 0, values, 1.0))
    return terms


def threshold_of_mass(scores: Float[np.ndarray, " m"], masses: Float[np.ndarray, " m"], below: float) -> float:
    """The smallest score such that all smaller ones together hold at least the mass `below`."""
    order = np.argsort(scores, kind="stable")
    held = np.cumsum(masses[order])
    first = int(np.searchsorted(held, below + 1e-9, side="right"))  # 1e-9: a thousandth of a row of a million
    return float(scores[order][first]) if first < len(scores) else float("inf")


@estimator("cott", paper=PAPER, needs=LEARNS)
@dataclass(frozen=True)
class COTT:
    """Share of the optimal plan's mass whose match reaches the threshold below which ID validation has its error rate.

    `score=mc` thresholds the transport cost, `score=ne` the negative entropy of the matched pair. The plan is that of
    `cot`; on validation against its own labels' frequencies.
    """

    on_accuracy_scale: ClassVar[bool] = True
    variants: ClassVar[tuple[str, ...]] = ("score=ne",)
    score: Score = "mc"
    rows: Rows = ROWS
    seed: int = 0

    def fit(self) -> Fit:
        of = Probabilities((yield from best_temperature()))
        marginal, accuracy = yield Mean(one_hot_labels, split="val"), Mean(correct, split="val")
        target = Plan(of, tuple(marginal.tolist()), self.rows, self.seed)
        source, plan = yield replace(target, split="val")
        used = plan > 0
        scores = confidence_of(source, self.score)[used]
        return FittedCOTT(target, self.score, threshold_of_mass(scores, plan[used], 1 - float(accuracy)))


@dataclass(frozen=True)
class FittedCOTT:
    plan: Plan
    score: Score
    threshold: float

    def estimate(self) -> Fit:
        p, plan = yield self.plan
        reached = confidence_of(p, self.score) >= self.threshold
        learned = {"temperature": self.plan.of.temperature, "threshold": self.threshold, "rows": len(p)}
        return float(plan[reached].sum()), learned
