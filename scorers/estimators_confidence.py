"""Accuracy of an unlabelled set from how confident the classifier is on it, compared with ID validation where labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Collect, Fit, Mean
from ood_bench.registry import estimator
from ood_bench.scorers.tempscale import best_temperature, log_confidence_at
from ood_bench.types import LOGITS, VAL, VAL_LABELS

LEARNS = (LOGITS, VAL, VAL_LABELS)


def correct(batch: Batch) -> Float[Tensor, " n"]:
    """1 where the predicted class is the label, else 0."""
    return (batch.predicted == batch.labels).double()


@dataclass(frozen=True)
class Confidence:
    """A row's largest entry of softmax(z / T)."""

    temperature: float = 1.0

    def __call__(self, batch: Batch) -> Float[Tensor, " n"]:
        return log_confidence_at(batch.double, self.temperature).exp()


@dataclass(frozen=True)
class NegativeEntropy:
    """A row's sum of p log p, p = softmax(z / T), in nats."""

    temperature: float = 1.0

    def __call__(self, batch: Batch) -> Float[Tensor, " n"]:
        p = torch.softmax(batch.double.logits / self.temperature, dim=1)
        terms: Tensor = torch.special.xlogy(p, p)
        return terms.sum(dim=1)


@estimator("confscore", paper="Hendrycks & Gimpel, ICLR 2017, arXiv:1610.02136", aliases=("ac", "average-confidence"))
@dataclass(frozen=True)
class ConfScore:
    """Mean of the largest softmax probability, in [1/K, 1]: the accuracy that the classifier itself expects."""

    on_accuracy_scale: ClassVar[bool] = True

    def estimate(self) -> Fit:
        return float((yield Mean(Confidence(), split="target")))


@estimator("entropy", paper="Guillory et al., ICCV 2021, arXiv:2107.03315")
@dataclass(frozen=True)
class Entropy:
    """Minus the mean entropy of the softmax in nats, in [-log K, 0]."""

    def estimate(self) -> Fit:
        return float((yield Mean(NegativeEntropy(), split="target")))


def threshold_for_errors(scores: Float[Tensor, " n"], errors: int) -> float:
    """The observed score below which as many rows lie as there are errors; infinity where every row is one."""
    return math.inf if errors == len(scores) else float(scores.sort().values[errors])


@dataclass(frozen=True)
class AtLeast:
    """1 where a row's value reaches the threshold, else 0."""

    of: Confidence | NegativeEntropy
    threshold: float

    def __call__(self, batch: Batch) -> Float[Tensor, " n"]:
        return (self.of(batch) >= self.threshold).double()


@dataclass(frozen=True)
class FittedATC:
    of: Confidence | NegativeEntropy
    threshold: float

    def estimate(self) -> Fit:
        share = yield Mean(AtLeast(self.of, self.threshold), split="target")
        return float(share), {"temperature": self.of.temperature, "threshold": self.threshold}


def _fit_atc(kind: type[Confidence] | type[NegativeEntropy]) -> Fit:
    of = kind((yield from best_temperature()))
    scores, right = yield Collect(of, split="val"), Collect(correct, split="val")
    return FittedATC(of, threshold_for_errors(scores, int((right == 0).sum())))


@estimator("atc-mc", paper="Garg et al., ICLR 2022 (ATC), arXiv:2201.04234", needs=LEARNS, aliases=("atc",))
@dataclass(frozen=True)
class ATCMaxConfidence:
    """Share of rows whose temperature-scaled confidence reaches the threshold below which ID validation has its errors.

    As many validation rows lie below the threshold as are wrong. The authors' search takes the score before, and 0 where
    nothing is wrong; both move the estimate by one row of validation at most.
    """

    on_accuracy_scale: ClassVar[bool] = True

    def fit(self) -> Fit:
        return _fit_atc(Confidence)


@estimator("atc-ne", paper="Garg et al., ICLR 2022 (ATC), arXiv:2201.04234", needs=LEARNS)
@dataclass(frozen=True)
class ATCNegativeEntropy:
    """ATC with the negative entropy of the temperature-scaled softmax in place of the confidence."""

    on_accuracy_scale: ClassVar[bool] = True

    def fit(self) -> Fit:
        return _fit_atc(NegativeEntropy)


@estimator("doc", paper="Guillory et al., ICCV 2021 (difference of confidences), arXiv:2107.03315", needs=LEARNS)
@dataclass(frozen=True)
class DoC:
    """ID validation accuracy, less what the temperature-scaled mean confidence has lost since."""

    on_accuracy_scale: ClassVar[bool] = True

    def fit(self) -> Fit:
        of = Confidence((yield from best_temperature()))
        confidence, accuracy = yield Mean(of, split="val"), Mean(correct, split="val")
        return FittedDoC(of, float(confidence), float(accuracy))


@dataclass(frozen=True)
class FittedDoC:
    of: Confidence
    confidence: float
    accuracy: float

    def estimate(self) -> Fit:
        confidence = yield Mean(self.of, split="target")
        return self.accuracy - (self.confidence - float(confidence)), {"temperature": self.of.temperature}


@dataclass(frozen=True)
class ConfidenceBins:
    """A row's temperature-scaled confidence as one of `bins` equal cells (lo, hi] of (0, 1], one-hot."""

    of: Confidence
    bins: int

    def __call__(self, batch: Batch) -> Float[Tensor, "n b"]:
        cell = (self.of(batch) * self.bins).ceil().long().clamp(1, self.bins) - 1
        return torch.nn.functional.one_hot(cell, self.bins).double()


@dataclass(frozen=True)
class CorrectByBin:
    """`ConfidenceBins`, kept only where the prediction is right."""

    of: ConfidenceBins

    def __call__(self, batch: Batch) -> Float[Tensor, "n b"]:
        return self.of(batch) * correct(batch)[:, None]


@estimator("im", paper="Chen et al., NeurIPS 2021 (Mandoline), arXiv:2107.00643", needs=LEARNS)
@dataclass(frozen=True)
class ImportanceWeights:
    """ID validation accuracy, rows weighted by how often their confidence occurs on the target: a histogram of 10 cells.

    As the comparison code of the ATC authors has it, with the temperature scaling of the other methods.
    """

    on_accuracy_scale: ClassVar[bool] = True
    bins: Annotated[int, Range(1)] = 10

    def fit(self) -> Fit:
        cells = ConfidenceBins(Confidence((yield from best_temperature())), self.bins)
        share, right = yield Mean(cells, split="val"), Mean(CorrectByBin(cells), split="val")
        return FittedImportanceWeights(cells, share, right)


@dataclass(frozen=True)
class FittedImportanceWeights:
    cells: ConfidenceBins
    share: Float[Tensor, " b"]
    right: Float[Tensor, " b"]

    def estimate(self) -> Fit:
        target = yield Mean(self.cells, split="target")
        filled = self.share > 0
        weight = target[filled] / self.share[filled]
        covered = float((weight * self.share[filled]).sum())
        if covered == 0:
            raise CannotScore("im needs a target whose confidences occur on ID validation; no cell is shared")
        learned = {"temperature": self.cells.of.temperature, "covered": covered}
        return float((weight * self.right[filled]).sum()) / covered, learned


@dataclass(frozen=True)
class Energies:
    """A row's energy -T logsumexp(z / T)."""

    temperature: float

    def __call__(self, batch: Batch) -> Float[Tensor, " n"]:
        rows = batch.double
        if self.temperature == 1.0:
            return -rows.logsumexp
        return -self.temperature * torch.logsumexp(rows.logits / self.temperature, dim=1)


@estimator("mde", paper="Peng et al., ICLR 2024 (meta-distribution energy), arXiv:2401.12689")
@dataclass(frozen=True)
class MDE:
    """Log of the mean over rows of -log softmax of their energies, the softmax taken over the rows of the set.

    It contains the log of the number of rows, as the authors' code has it: compare sets of one size. `scale=plain` leaves
    out the outer logarithm (their EMD1).
    """

    temperature: Annotated[float, Range(0, above=True)] = 1.0
    scale: Literal["log", "plain"] = "log"

    def estimate(self) -> Fit:
        energies = yield Collect(Energies(self.temperature), split="target")
        value = float(torch.logsumexp(energies, dim=0) - energies.mean())
        return math.log(value) if self.scale == "log" else value
