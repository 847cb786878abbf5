"""How a bank with an abstain option is judged: one method per pair of loadings."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.bank.base import Bank
from ood_bench.batch import Batch
from ood_bench.conversation import Ask
from ood_bench.errors import CannotScore, RequestError
from ood_bench.metrics.abstention import (
    check_loadings,
    confidence_weighted_accuracy,
    dcs,
    dcs_official,
    guessing_threshold,
    ternary,
)
from ood_bench.reductions import Collect
from ood_bench.tasks.methods import Answered
from ood_bench.tasks.row import Value
from ood_bench.types import LOGITS, Head, Info

NO_OPTION = "the bank has no abstain option: p_idk = 0, every question is answered"


@dataclass(frozen=True, slots=True)
class Loadings:
    """What a right answer gains and a wrong one loses, as a method of the task `abstention`."""

    correct: float = 1.0
    wrong: float = 1.0
    task: str = "abstention"
    name: str = "loadings"
    origin: str = "ours"
    plugin_sha256: str | None = None

    def __post_init__(self) -> None:
        try:
            check_loadings(self.correct, self.wrong)
        except ValueError as error:
            raise RequestError(f"--loadings: {error}") from error

    @property
    def spec(self) -> str:
        return f"loadings:correct={self.correct:g},wrong={self.wrong:g}"

    @property
    def version(self) -> str:
        return "1"

    @property
    def params(self) -> Mapping[str, Value]:
        return {"correct": self.correct, "wrong": self.wrong}

    @property
    def needs(self) -> tuple[str, ...]:
        return (LOGITS,)

    def resolved(self, info: Info) -> Loadings:
        return self

    def fit(self, head: Head | None, info: Info) -> Generator[Ask, Any, None]:
        return
        yield  # a conversation that asks nothing

    def ask(self, fitted: None, target: Bank) -> Generator[Ask, Any, Answered]:
        if not target.has_labels:
            raise CannotScore(f"{target.set} has no labels, so nobody knows which answers are right")
        rows = yield Collect(OptionColumns(), "target")
        note = {} if target.abstain_index is not None else {"note": NO_OPTION}
        return Answered(self.measured(rows.cpu().numpy()), note)

    def measured(self, rows: Float[np.ndarray, "n 7"]) -> dict[str, Value]:
        """The task's values from the columns of every labelled row."""
        p_correct, p_abstain, belief, confidence, *flags = rows[~np.isnan(rows[:, 0])].T
        right, answered, best_right = (flag.astype(bool) for flag in flags)
        p_wrong = np.clip(1 - p_correct - p_abstain, 0.0, 1.0)
        loadings = {"loading_correct": self.correct, "loading_wrong": self.wrong}
        threshold = guessing_threshold(self.correct, self.wrong)
        guessed = belief > threshold
        return {
            "dcs": float(dcs(p_correct, p_wrong, p_abstain, **loadings).mean()),
            "dcs_official": float(dcs_official(p_correct, p_wrong, p_abstain, **loadings).mean()),
            "ternary": float(ternary(right & answered, answered, **loadings).mean()),
            "cwa": float(confidence_weighted_accuracy(confidence, right).mean()),
            "accuracy": float(right.mean()),
            "coverage": float(answered.mean()),
            "accuracy_answered": float(right[answered].mean()) if answered.any() else None,
            "p_abstain": float(p_abstain.mean()),
            "threshold": threshold,
            "ternary_at_threshold": float(ternary(best_right, guessed, **loadings).mean()),
            "coverage_at_threshold": float(guessed.mean()),
        }


@dataclass(frozen=True)
class OptionColumns:
    """A row's p of the right answer, p of abstaining, belief in the best answer, largest p, and three flags.

    The belief is the best answer's share of what all answers have together. The flags: the top option is the label, the
    top option is an answer, the best answer is the label. A label that is the abstain option leaves no right answer.
    """

    def __call__(self, batch: Batch) -> Float[Tensor, "n 7"]:
        p, y = batch.double.probabilities, batch.labels.clamp_min(0)
        column = batch.abstain_index
        chosen = p.gather(1, y[:, None]).squeeze(1)
        if column is None:
            abstain, answers = torch.zeros_like(chosen), p
        else:
            abstain = p[:, column]
            answers = p.clone()
            answers[:, column] = -1.0  # never the best answer
            chosen = chosen.masked_fill(y == column, 0.0)
        best, answer = answers.max(dim=1)
        rows = torch.stack(
            [
                chosen,
                abstain,
                best / answers.clamp_min(0).sum(dim=1).clamp_min(torch.finfo(p.dtype).tiny),
                p.amax(dim=1),
                (batch.predicted == batch.labels).double(),
                torch.ones_like(chosen) if column is None else (batch.predicted != column).double(),
                (answer == batch.labels).double(),
            ],
            dim=1,
        )
        return rows.masked_fill((batch.labels < 0)[:, None], torch.nan)
