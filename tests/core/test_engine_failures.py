"""The engine: one scorer's failure never loses the others, and nothing shared is modified."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import GIVEN, SOUND, Outcome, of_problem, run, sound_alone
from support import problem
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.engine import Learning, Refusal
from ood_bench.errors import CannotScore
from ood_bench.reductions import Moments
from ood_bench.registry import scorer
from ood_bench.runner import every_spec
from ood_bench.types import Head


@dataclass(frozen=True)
class AddFails:
    split: str = "fit"

    def add(self, partial: Any, batch: Batch) -> int:
        raise ZeroDivisionError("in add")

    def merge(self, a: int, b: int) -> int:
        return a

    def result(self, partial: int) -> int:
        return partial


@dataclass(frozen=True)
class ResultFails(AddFails):
    def add(self, partial: Any, batch: Batch) -> int:
        return 1

    def result(self, partial: int) -> int:
        raise ZeroDivisionError("in result")


@dataclass(frozen=True)
class Score:
    of: Callable[[Batch], Any]

    def score(self, batch: Batch) -> Any:
        return self.of(batch)


def _fit_raises(self: Any) -> Any:
    raise ValueError("in fit")


def _fit_raises_late(self: Any) -> Any:
    yield Moments()
    raise ValueError("after a question")


def _fit_asks(question: Any) -> Callable[[Any], Any]:
    def fit(self: Any) -> Any:
        yield question
        return Score(lambda batch: batch.max_logit)

    return fit


def _fit_forgets(self: Any) -> Any:
    yield Moments()


def _second_batch(bad: Callable[[Batch], Tensor]) -> Callable[[Any, Batch], Tensor]:
    return lambda self, batch: bad(batch) if batch.start else batch.max_logit


def _raises(batch: Batch) -> Tensor:
    raise RuntimeError("in score")


def _refuses(batch: Batch) -> Tensor:
    raise CannotScore("this bank is not for me")


def _memory(batch: Batch) -> Tensor:
    raise MemoryError


FIT_FAILURES: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (_fit_raises, "ValueError: in fit"),
    "raises-late": (_fit_raises_late, "ValueError: after a question"),
    "add-fails": (_fit_asks(AddFails()), "ZeroDivisionError: in add"),
    "result-fails": (_fit_asks(ResultFails()), "ZeroDivisionError: in result"),
    "forgets": (_fit_forgets, r"fit should return an object with `score\(batch\)`, got NoneType"),
}
SCORE_FAILURES: dict[str, tuple[Callable[[Any, Batch], Any], str]] = {
    "raises": (_second_batch(_raises), "RuntimeError: in score"),
    "out-of-memory": (_second_batch(_memory), "ran out of memory; try a smaller --memory, or --device cpu"),
    "column": (
        lambda self, batch: batch.max_logit[:, None],
        r"one number per row, a tensor of shape \(16,\), got \(16, 1\)",
    ),
    "one-number": (
        lambda self, batch: batch.max_logit.mean(),
        r"one number per row, a tensor of shape \(16,\), got \(\)",
    ),
    "too-few": (lambda self, batch: batch.max_logit[1:], r"got \(15,\)"),
    "nan": (
        _second_batch(lambda batch: batch.max_logit.log() - batch.max_logit.log() + torch.nan),
        r"gave nan for row 16 \(16\) of test with toy \(44 of 60 scores are not finite\)",
    ),
    "infinite": (_second_batch(lambda batch: batch.max_logit / 0), "gave inf for row 16"),
}


def broken(name: str, **methods: Any) -> str:
    """Register a scorer with these methods."""
    cls = type("Broken", (), {"__doc__": "Breaks.", **methods})
    scorer(name, needs=("logits", "features", "fit"))(dataclass(frozen=True)(cls))
    return name


def check_that_only_it_failed(outcome: Outcome, name: str, reason: str) -> None:
    assert name not in outcome.scores
    assert outcome.refused.keys() == {name}
    assert outcome.refused[name].failed
    assert re.search(reason, outcome.refused[name].reason), outcome.refused[name].reason
    for spec, scores in sound_alone().items():
        assert np.array_equal(scores, outcome.scores[spec]), spec


@pytest.mark.parametrize("name", FIT_FAILURES)
def test_a_fit_that_fails_loses_nobody_else(name: str) -> None:
    fit, reason = FIT_FAILURES[name]
    broken(name, fit=fit)
    check_that_only_it_failed(of_problem(GIVEN, [name, *SOUND]), name, reason)


@pytest.mark.parametrize("name", SCORE_FAILURES)
def test_a_score_that_fails_loses_nobody_else(name: str) -> None:
    score, reason = SCORE_FAILURES[name]
    broken(name, score=score)
    check_that_only_it_failed(of_problem(GIVEN, [name, *SOUND]), name, reason)


def test_a_refusal_is_a_reason_and_no_failure() -> None:
    broken("refuses", score=_second_batch(_refuses))
    outcome = of_problem(GIVEN, ["refuses", *SOUND])
    assert outcome.refused == {"refuses": Refusal("this bank is not for me", failed=False)}
    assert outcome.scores.keys() == sound_alone().keys()


# -- nothing that is shared may be modified -----------------------------------------------------------------------------


def _after(modify: Callable[[Batch], object]) -> Callable[[Any, Batch], Tensor]:
    def score(self: Any, batch: Batch) -> Tensor:
        mine = batch.max_logit.clone()
        modify(batch)
        return mine

    return score


MODIFIERS: dict[str, Callable[[Batch], object]] = {
    "logits": lambda batch: batch.logits.sub_(1),
    "features": lambda batch: batch.features.clamp_(max=0.5),
    "one-row": lambda batch: batch.features[3].zero_(),
    "out-argument": lambda batch: torch.mul(batch.logits, 2, out=batch.logits),
}


@pytest.mark.parametrize("name", MODIFIERS)
@pytest.mark.parametrize("place", [0, 4])
def test_who_modifies_what_is_shared_is_caught_and_the_others_never_see_it(name: str, place: int) -> None:
    broken(name, score=_after(MODIFIERS[name]))
    specs = [*SOUND[:place], name, *SOUND[place:]]
    check_that_only_it_failed(of_problem(GIVEN, specs), name, "it modified .* in place; work on a copy")


def test_the_banks_are_as_they_were_after_everything() -> None:
    given = problem(1)
    banks = {name: given.bank(name) for name in given.sets}
    kept = {name: {key: tensor.clone() for key, tensor in bank.tensors.items()} for name, bank in banks.items()}
    head = Head(given.head.weight.clone(), given.head.bias.clone())
    learning = Learning(given.head, banks["fit"], banks["val"])
    run(every_spec(), learning, [banks["test"], banks["ood"]], rows=None)
    for name, bank in banks.items():
        for key, tensor in bank.tensors.items():
            assert torch.equal(tensor, kept[name][key]), (name, key)
    assert torch.equal(given.head.weight, head.weight)
    assert torch.equal(given.head.bias, head.bias)


# -- passes --------------------------------------------------------------------------------------------------------------
