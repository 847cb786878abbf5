"""MaNo: the L_p norm of normalised logits; of a set, as in the paper, and of one row, which is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.reductions import Collect, Fit, Mean, Split
from ood_bench.registry import estimator, scorer

PAPER = "Xie et al., NeurIPS 2024, arXiv:2405.18979"
Branch = Literal["auto", "softmax", "taylor"]
Order = Annotated[float, Range(1)]
BATCH = 128  # rows per batch of the authors' loader


def criterion(batch: Batch) -> Float[Tensor, " n"]:
    """A row's term of Phi (equation 6): logsumexp(z) - mean(z), the cross-entropy of the uniform distribution."""
    return batch.double.logsumexp - batch.double.mean_logit


@dataclass(frozen=True)
class Power:
    """A row's mean_k sigma_k^p, in [K^-p, 1 / K]; sigma by softmax, or by the Taylor series 1 + z + z^2 / 2.

    Taylor rows have their minimum subtracted before they are divided by their sum, as in the authors' code; a row whose
    entries are all equal has sum zero then, and is uniform: sigma_k = 1 / K.
    """

    branch: Literal["softmax", "taylor"]
    p: float

    def __call__(self, batch: Batch) -> Float[Tensor, " n"]:
        rows = batch.double
        if self.branch == "softmax":
            return _power(rows.probabilities, self.p).mean(dim=1)
        series = 1 + rows.logits + rows.logits.square() / 2
        series = series - series.amin(dim=1, keepdim=True)
        total = series.sum(dim=1, keepdim=True)
        sigma = torch.where(total > 0, series / total, 1 / series.shape[1])
        return _power(sigma, self.p).mean(dim=1)


def _power(values: Float[Tensor, "n K"], p: float) -> Float[Tensor, "n K"]:
    """values^p. The default p = 4 by squaring twice, a tenth of what torch.pow takes."""
    return values.square().square_() if p == 4 else values.pow(p)


def _choose(branch: Branch, eta: float, split: Split) -> Fit:
    """The branch to take, and Phi where it was looked at: Taylor where Phi <= eta, softmax above (equation 5)."""
    if branch != "auto":
        return branch, None
    phi = float((yield Mean(criterion, split=split)))
    return ("taylor" if phi <= eta else "softmax"), phi


@scorer("mano", paper=PAPER + "; per sample: ours", precision="float64")
@dataclass(frozen=True)
class MaNo:
    """A row's own mean_k sigma_k^p: our per-sample reading of the paper's score of a set.

    The branch follows Phi on the ID fit set (recorded; `branch=softmax` or `taylor` overrides it and needs no fit set).
    The estimator `mano` is the p-th root of the mean of these wherever both take the same branch.
    """

    p: Order = 4.0
    eta: float = 5.0
    branch: Branch = "auto"

    def fit(self) -> Fit:
        branch, phi = yield from _choose(self.branch, self.eta, "fit")
        return FittedMaNo(Power(branch, self.p), phi)


@dataclass(frozen=True)
class FittedMaNo:
    power: Power
    phi: float | None

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.power(batch)

    def learned(self) -> dict[str, float | str | None]:
        return {"branch": self.power.branch, "phi": self.phi}


@estimator("mano", paper=PAPER)
@dataclass(frozen=True)
class MaNoEstimator:
    """(mean over rows and classes of sigma^p)^(1/p) of a whole set, in (0, 1]: higher = more accurate.

    The paper's equations 1 to 6 with p = 4, eta = 5, Phi over the whole target set. The authors' code differs: logits
    with batch-norm in training mode (not to be had from a cache), mean over batches of 128 (`mode=batch`: of consecutive
    rows here, shuffled there), and Phi of one early batch reused for all later sets.
    """

    variants: ClassVar[tuple[str, ...]] = ("branch=softmax", "branch=taylor", "mode=batch")
    p: Order = 4.0
    eta: float = 5.0
    branch: Branch = "auto"
    mode: Literal["set", "batch"] = "set"

    def estimate(self) -> Fit:
        branch, phi = yield from _choose(self.branch, self.eta, "target")
        power = Power(branch, self.p)
        if self.mode == "batch":
            rows = yield Collect(power, split="target")
            parts = [part.mean().pow(1 / self.p) for part in rows.split(BATCH)]
            return float(torch.stack(parts).mean()), {"branch": branch, "phi": phi}
        mean = yield Mean(power, split="target")
        return float(mean) ** (1 / self.p), {"branch": branch, "phi": phi}
