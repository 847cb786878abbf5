"""Distributional correctness without labels: ours, after the metric of the same name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Range
from ood_bench.reductions import Fit
from ood_bench.registry import scorer
from ood_bench.scorers.vim import FittedViM, ViM
from ood_bench.types import ABSTAIN, FEATURES, FIT, HEAD, Head, Info


@scorer("dcs", paper="after Burns, 2025, arXiv:2510.04302 (a metric with labels); label-free: ours")
@dataclass(frozen=True)
class DCS:
    """(loading_correct p_c - loading_wrong p_w)(1 - p_idk) with the top answer taken for the correct one.

    p_c is the largest probability of an answer, p_w that of all other answers, p_idk that of "I don't know": the bank's
    own column (`idk=column`), ViM's virtual logit beside the others (`idk=vim`), or absent (`idk=none`, which ranks as
    MSP). `auto` takes the first that is there. Not monotone in p_idk: where p_c < p_w, more abstention raises the score.
    """

    also_reads: ClassVar[tuple[str, ...]] = (FEATURES,)
    idk: Literal["auto", "column", "vim", "none"] = "auto"
    loading_correct: Annotated[float, Range(0)] = 1.0
    loading_wrong: Annotated[float, Range(0)] = 1.0

    def __post_init__(self) -> None:
        if self.loading_correct < self.loading_wrong:
            raise ValueError(
                f"loading_correct should be at least loading_wrong, got {self.loading_correct} < {self.loading_wrong}"
            )

    def resolve(self, info: Info) -> DCS:
        if self.idk != "auto":
            return self
        has_vim = {FEATURES, HEAD, FIT} <= info.has and (info.n_features or 0) > 1
        return replace(self, idk="column" if ABSTAIN in info.has else "vim" if has_vim else "none")

    def fit(self, info: Info, head: Head | None = None) -> Fit:
        vim: Any = None
        if self.idk == "column" and info.abstain_index is None:
            raise CannotScore("dcs:idk=column needs a bank with an abstain column (`abstain_index`), this one has none")
        if self.idk == "vim":
            lacking = sorted({FEATURES, HEAD, FIT} - info.has)
            if lacking or head is None:
                raise CannotScore(f"dcs:idk=vim needs {', '.join(lacking)} for the virtual logit; try dcs:idk=none")
            vim = yield from ViM().resolve(info).fit(head)
        return FittedDCS(self, vim)


@dataclass(frozen=True)
class FittedDCS:
    options: DCS
    vim: FittedViM | None

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        answers, idk = batch.double, None
        if self.options.idk == "column":
            column, logits = int(batch.abstain_index or 0), answers.logits
            idk = logits[:, column]
            answers = Batch(logits=torch.cat([logits[:, :column], logits[:, column + 1 :]], dim=1))
        elif self.vim is not None:
            idk = self.vim.virtual_logit(batch).double()  # the product in the bank's type, as `vim` itself takes it
        # Relative to the top answer: itself 1, the others `odds`, abstaining `idk`. No difference of near-equal numbers.
        abstain = torch.zeros_like(answers.odds) if idk is None else (idk - answers.max_logit).exp()
        total = 1 + answers.odds + abstain
        gain = self.options.loading_correct - self.options.loading_wrong * answers.odds
        share_answered = (1 + answers.odds) / total
        return torch.where(abstain.isinf(), 0.0, gain / total * share_answered)
