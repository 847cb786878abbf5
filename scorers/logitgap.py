"""LogitGap: the mean gap between the largest logit and the next ones, and the paper's variants of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit, Sample
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, HEAD, LOGITS, VAL, Head, Info

PAPER = "Liang et al., NeurIPS 2025, arXiv:2510.20134"
N = Annotated[int, Range(2)] | Literal["auto", "all"]


def fixed_n(n_classes: int) -> int:
    """The paper's fixed rule (appendix C.3): 20 % of K for large K, half of K for small K, at least 2."""
    return round(0.2 * n_classes) if n_classes >= 100 else max(2, n_classes // 2)


def resolved_n(name: str, n: int | str, k: int) -> int:
    """The number of logits that `n` stands for among K = k classes."""
    if k < 2:
        raise CannotScore(f"{name} needs at least 2 classes, got K={k}")
    number = {"auto": fixed_n(k), "all": k}[n] if isinstance(n, str) else n
    if number > k:
        raise CannotScore(f"{name} needs 2 <= n <= {k} (the number of classes), got n={number}")
    return number


@scorer("logitgap", paper=PAPER)
@dataclass(frozen=True)
class LogitGap:
    """z_1 - mean(z_2 .. z_n) of the logits sorted falling; in [0, inf).

    `n` is the paper's N and counts the largest logit (the released code's `topn` is n - 1); `all` is equation 4, over
    all K. The fixed rule is round(0.2 K) from K = 100 on, else K // 2. Shift-invariant, and a global temperature changes
    no rank.
    """

    n: N = "auto"

    def resolve(self, info: Info) -> LogitGap:
        return replace(self, n=resolved_n("logitgap", self.n, info.classes))

    def wants_top(self, n_classes: int) -> int:
        return self.n if isinstance(self.n, int) and self.n < n_classes else 0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        k = batch.n_classes
        if self.n == k:  # needs no order: the mean of the others follows from the mean of all
            return (batch.max_logit - batch.mean_logit) * (k / (k - 1))
        top = batch.top(int(self.n))
        return (top[:, :1] - top[:, 1:]).mean(dim=1)


@scorer("logitgap-exp", paper=PAPER + " (table 5)")
@dataclass(frozen=True)
class LogitGapExp:
    """log of LogitGap of exp(z): z_1 + log mean_j (1 - exp(z_j - z_1)) over z_2 .. z_n; ranks as the gap itself.

    The released code takes exp of cosines; that of a classifier's logits overflows, hence the logarithm. Where all n
    are equal the gap is 0 and counts as the smallest positive number. n as for `logitgap`.
    """

    n: N = "auto"

    def resolve(self, info: Info) -> LogitGapExp:
        return replace(self, n=resolved_n("logitgap-exp", self.n, info.classes))

    def wants_top(self, n_classes: int) -> int:
        return int(self.n)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        top = batch.top(int(self.n))
        gap = -torch.expm1(top[:, 1:] - top[:, :1]).mean(dim=1)
        return batch.max_logit + gap.clamp_min(torch.finfo(gap.dtype).tiny).log()


@scorer("logitgap-square", paper=PAPER + " (table 5)")
@dataclass(frozen=True)
class LogitGapSquare:
    """LogitGap of z^2: the largest square minus the mean of the next n - 1 squares; in [0, inf).

    As in the released code the squares are sorted, so a large negative logit may lead; meant for cosines, which are
    positive there. Not shift-invariant. n as for `logitgap`.
    """

    n: N = "auto"

    def resolve(self, info: Info) -> LogitGapSquare:
        return replace(self, n=resolved_n("logitgap-square", self.n, info.classes))

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return LogitGap(self.n).score(Batch(logits=batch.logits.square()))


@scorer("logitgap-sqrt", paper=PAPER + " (table 5)")
@dataclass(frozen=True)
class LogitGapSqrt:
    """Root of the mean squared gap, sqrt mean_j (z_1 - z_j)^2 over z_2 .. z_n; in [0, inf).

    The released `logitgap_sqrt` is the mean squared gap, of the same rank, and over an empty slice (NaN) as committed;
    ours is over the same n as `logitgap`.
    """

    n: N = "auto"

    def resolve(self, info: Info) -> LogitGapSqrt:
        return replace(self, n=resolved_n("logitgap-sqrt", self.n, info.classes))

    def wants_top(self, n_classes: int) -> int:
        return int(self.n)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        top = batch.top(int(self.n))
        return (top[:, :1] - top[:, 1:]).square().mean(dim=1).sqrt()


@scorer("logitgap-adaptive", paper=PAPER, needs=(LOGITS, FEATURES, HEAD, VAL))
@dataclass(frozen=True)
class LogitGapAdaptive:
    """LogitGap with N chosen on ID validation rows against outliers made from them (the paper's LogitGap*).

    N maximises mean_outlier(z_2..z_N) - mean_ID(z_2..z_N) over `samples` ID rows and as many synthetic ones,
    x~ = alpha x_i + (1 - alpha) x_j + beta eps with rows of different predicted classes and eps standard normal.
    The paper leaves open which row alpha multiplies, the noise's scale and whether x~ is normalised again, and the
    released code has no selection. Ours: alpha on x_i, eps per entry, and L2-normalised again where the features are.
    beta `auto`: 0.8 where the features are L2-normalised (the paper's for ImageNet with CLIP), else 0.
    """

    alpha: Annotated[float, Range(0, 1)] = 0.3
    beta: Annotated[float, Range(0)] | Literal["auto"] = "auto"
    samples: Annotated[int, Range(2)] = 100
    seed: int = 0

    def fit(self, head: Head) -> Fit:
        if head.n_classes < 2:
            raise CannotScore(f"logitgap-adaptive needs at least 2 classes, got K={head.n_classes}")
        rows = (yield Sample(self.samples, self.seed, split="val")).double()
        normalised = bool((torch.linalg.vector_norm(rows, dim=1) - 1).abs().max() < 1e-3)
        beta = (0.8 if normalised else 0.0) if isinstance(self.beta, str) else self.beta
        outliers = self._outliers(rows, head.double, beta)
        if normalised:
            outliers = outliers / torch.linalg.vector_norm(outliers, dim=1, keepdim=True)
        gain = _mean_of_next(head.double.logits(outliers)) - _mean_of_next(head.double.logits(rows))
        return FittedLogitGapAdaptive(LogitGap(n=int(gain.argmax()) + 2), beta)

    def _outliers(self, rows: Float[Tensor, "m d"], head: Head, beta: float) -> Float[Tensor, "m d"]:
        generator = torch.Generator().manual_seed(self.seed)
        predicted = head.logits(rows).argmax(dim=1)
        differs = (predicted[:, None] != predicted[None, :]).double().cpu()
        alone = differs.sum(dim=1) == 0  # every row is of one predicted class: any other row then
        differs[alone] = 1.0 - torch.eye(len(rows), dtype=torch.float64)[alone]
        partner = torch.multinomial(differs, 1, generator=generator).squeeze(1).to(rows.device)
        noise = torch.randn(rows.shape, generator=generator, dtype=torch.float64).to(rows.device)
        return self.alpha * rows + (1 - self.alpha) * rows[partner] + beta * noise


@dataclass(frozen=True)
class FittedLogitGapAdaptive:
    gap: LogitGap
    beta: float

    def wants_top(self, n_classes: int) -> int:
        return self.gap.wants_top(n_classes)

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.gap.score(batch)

    def learned(self) -> dict[str, float]:
        return {"n": int(self.gap.n), "beta": self.beta}


def _mean_of_next(logits: Float[Tensor, "m K"]) -> Float[Tensor, " K-1"]:
    """For N = 2 .. K: the rows' mean of z_2 .. z_N."""
    others = logits.sort(dim=1, descending=True).values[:, 1:]
    counts = torch.arange(1, others.shape[1] + 1, device=logits.device)
    return (others.cumsum(dim=1) / counts).mean(dim=0)
