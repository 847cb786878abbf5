"""Maximum logit over the p-norm of the logits, for selective classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.metrics.risk_coverage import aurc_trapezoid
from ood_bench.parameters import Range
from ood_bench.reductions import Collect, Fit
from ood_bench.registry import scorer
from ood_bench.types import REMEDIES, VAL_LABELS, Info

CATTELAN = "Cattelan & Silva, UAI 2024, arXiv:2305.15508"
XIA = "Xia et al., ICLR 2025, arXiv:2403.14715"
Order = Annotated[float, Range(0)]
MOST_PRODUCTS = 10  # the largest whole power that is made of products


@dataclass(frozen=True)
class NormalisedMax:
    """max_k c_k / ||c||_p with c = z - mean z: one column per p, in float64. A row of equal logits gives 0.

    p = 0 divides by K, the number of entries. The norm is of c / max |c|, so that no power overflows.
    """

    orders: tuple[float, ...]

    def __call__(self, batch: Batch) -> Float[Tensor, "n p"]:
        rows = batch.double
        centred = rows.logits - rows.mean_logit[:, None]
        centred = torch.where((rows.logits.amin(dim=1) == rows.max_logit)[:, None], 0.0, centred)
        size = centred.abs()
        largest = size.amax(dim=1)
        unit = size / torch.where(largest > 0, largest, 1.0)[:, None]
        top = centred.amax(dim=1)
        share = top / torch.where(largest > 0, largest, 1.0)  # of the largest size, which may be a negative entry's
        sums = _power_sums(unit, self.orders)
        columns = [share / sums[p].clamp_min(1).pow(1 / p) if p > 0 else top / centred.shape[1] for p in self.orders]
        return torch.stack(columns, dim=1)


def _power_sums(values: Float[Tensor, "n K"], orders: tuple[float, ...]) -> dict[float, Float[Tensor, " n"]]:
    """sum_k values_k^p of each p > 0. Whole powers follow from one another, each in a tenth of what torch.pow takes."""
    sums, reached, power = {}, 1, values
    for p in sorted(order for order in orders if order > 0):
        if p % 1 > 0 or p > MOST_PRODUCTS:
            sums[p] = values.pow(p).sum(dim=1)
            continue
        while reached < p:
            power, reached = power * values, reached + 1
        sums[p] = power.sum(dim=1)
    return sums


@dataclass(frozen=True)
class Candidates:
    """Per row: whether the prediction is right, MSP's confidence, and the normalised maximum of each p."""

    normalised: NormalisedMax

    def __call__(self, batch: Batch) -> Float[Tensor, "n c"]:
        right = (batch.predicted == batch.labels).double()
        plain = torch.stack([right, batch.double.log_confidence], dim=1)
        return torch.cat([plain, self.normalised(batch)], dim=1)


def _areas(orders: tuple[int, ...]) -> Fit:
    """Area under the risk-coverage curve on ID validation, of MSP and of each p."""
    rows = (yield Collect(Candidates(NormalisedMax(tuple(map(float, orders)))), split="val")).cpu().numpy()
    return [aurc_trapezoid(confidence, rows[:, 0]) for confidence in rows.T[1:]]


def _check(name: str, p: float | str, info: Info) -> None:
    if p == "auto" and VAL_LABELS not in info.has:
        raise CannotScore(f"{name} with p=auto chooses p on labelled ID validation rows; {REMEDIES[VAL_LABELS]}")


@scorer("maxlogit-pnorm", paper=CATTELAN, precision="float64")
@dataclass(frozen=True)
class MaxLogitPNorm:
    """max_k c_k / ||c||_p, c = z - mean z; p in 0..9 of least AURC on ID validation; in [0, 1] for p > 0.

    Where no p is better than MSP there, the score is MSP's (log of the largest probability), as in the authors'
    post_hoc.py; which it was is recorded. AURC is theirs (`aurc_trapezoid`). With two classes every p > 0 gives the
    constant 2^(-1/p), so `auto` is MSP there (`p=msp` is recorded) and a number is refused. A fixed p needs no
    validation set; p = 0 is the mean-centred maximum over K. float64, since the values lie close together.
    """

    p: Order | Literal["auto", "msp"] = "auto"

    def resolve(self, info: Info) -> MaxLogitPNorm:
        if info.classes > 2:
            return self
        if isinstance(self.p, str):
            return MaxLogitPNorm("msp")
        if self.p > 0:
            raise CannotScore(
                f"maxlogit-pnorm:p={self.p:g} is the same for every row of {info.classes} classes; use p=auto, which "
                "falls back to MSP there"
            )
        return self

    def fit(self, info: Info) -> Fit:
        _check("maxlogit-pnorm", self.p, info)
        if self.p != "auto":
            return FittedPNorm(None if isinstance(self.p, str) else self.p)
        msp, *areas = yield from _areas(tuple(range(10)))
        best = min(areas)
        return FittedPNorm(float(areas.index(best)) if best < msp else None)


@scorer("logitnorm-sc", paper=XIA, precision="float64")
@dataclass(frozen=True)
class LogitNormSC:
    """`maxlogit-pnorm` with p in 1..10 and no fallback, as the label-smoothing paper uses it; in [0, 1].

    p of least AURC on ID validation, or a fixed p > 0 that needs none. With two classes it is constant, and refused.
    """

    p: Annotated[float, Range(0, above=True)] | Literal["auto"] = "auto"

    def resolve(self, info: Info) -> LogitNormSC:
        if info.classes < 3:
            raise CannotScore(
                f"logitnorm-sc is the same for every row unless there are 3 classes or more, got K={info.classes}"
            )
        return self

    def fit(self, info: Info) -> Fit:
        _check("logitnorm-sc", self.p, info)
        if not isinstance(self.p, str):
            return FittedPNorm(self.p)
        _, *areas = yield from _areas(tuple(range(1, 11)))
        return FittedPNorm(float(areas.index(min(areas)) + 1))


@dataclass(frozen=True)
class FittedPNorm:
    """The normalised maximum at one p; MSP where p is None."""

    p: float | None

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        if self.p is None:
            return batch.log_confidence
        return NormalisedMax((self.p,))(batch).squeeze(1)

    def learned(self) -> dict[str, float | str]:
        return {"p": "msp" if self.p is None else self.p}
