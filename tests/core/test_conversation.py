"""Conversations: passes are the longest chain, equal questions are answered once, a failure stays with its scorer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from ood_bench.batch import Batch
from ood_bench.columns import features, logits
from ood_bench.conversation import Talk, converse, describe
from ood_bench.reductions import ClassMeans, Mean, Moments

BATCHES = 3


@dataclass
class Counter:
    """A source that counts how often each split is streamed."""

    streamed: dict[str, int] = field(default_factory=dict)

    def __call__(self, split: str) -> Iterator[Batch]:
        self.streamed[split] = self.streamed.get(split, 0) + 1
        rows = torch.arange(12.0, dtype=torch.float64).reshape(6, 2)
        for start in range(0, 6, 2):
            yield Batch(features=rows[start : start + 2], logits=-rows[start : start + 2], start=start)


def talk(name: str, *rounds: Any) -> Talk:
    def conversation() -> Any:
        answers = ()
        for question in rounds:
            answers = (*answers, (yield question))
        return answers

    return Talk(name, conversation())


@dataclass(frozen=True)
class Broken:
    """A question that fails at a chosen step."""

    at: str
    split: str = "fit"

    def add(self, partial: Any, batch: Batch) -> int:
        if self.at == "add" and batch.start == 2:
            raise ZeroDivisionError("in add")
        return (partial or 0) + batch.n

    def merge(self, a: int, b: int) -> int:
        return a + b

    def result(self, partial: int) -> int:
        if self.at == "result":
            raise ZeroDivisionError("in result")
        return partial


def test_passes_are_the_longest_chain_not_the_sum() -> None:
    source = Counter()
    talks = [
        talk("one", Mean(features)),
        talk("two", Mean(features), Mean(logits)),
        talk("three", Moments(), ClassMeansOfPredicted, Mean(logits)),
        talk("none"),
    ]
    passes = converse(talks, source)
    assert source.streamed == {"fit": 3}
    assert all(one.done and one.error is None for one in talks)
    first = [done for done in passes if done.question == "Mean(features)"]
    assert len(first) == 1
    assert first[0].used_by == ("one", "two")


ClassMeansOfPredicted = ClassMeans(by="predicted")


def test_a_question_of_several_scorers_has_one_answer() -> None:
    a, b = talk("a", Moments()), talk("b", (Moments(), Mean(features)))
    converse([a, b], Counter())
    assert a.value[0] is b.value[0][0]
    assert torch.equal(b.value[0][1], torch.tensor([5.0, 6.0], dtype=torch.float64))


def test_splits_are_streamed_apart_and_only_when_asked() -> None:
    source = Counter()
    converse([talk("a", (Mean(features), Mean(features, "val"))), talk("b", Mean(logits, "val"))], source)
    assert source.streamed == {"fit": 1, "val": 1}


@pytest.mark.parametrize("at", ["add", "result"])
def test_a_question_that_fails_reaches_those_who_asked_it_and_nobody_else(at: str) -> None:
    sound, hurt = talk("sound", Mean(features), Mean(logits)), talk("hurt", Broken(at))
    converse([sound, hurt], Counter())
    assert sound.error is None
    assert torch.equal(sound.value[1], torch.tensor([-5.0, -6.0], dtype=torch.float64))
    assert isinstance(hurt.error, ZeroDivisionError)


def test_a_scorer_may_catch_what_its_question_met() -> None:
    def careful() -> Any:
        try:
            yield Broken("add")
        except ZeroDivisionError:
            return (yield Mean(features))

    one = Talk("careful", careful())
    converse([one], Counter())
    assert torch.equal(one.value, torch.tensor([5.0, 6.0], dtype=torch.float64))


def test_a_conversation_that_raises_is_over_and_the_others_go_on() -> None:
    def breaks() -> Any:
        yield Mean(features)
        raise KeyError("after the first answer")

    hurt, sound = Talk("hurt", breaks()), talk("sound", Mean(features), Mean(logits))
    converse([hurt, sound], Counter())
    assert isinstance(hurt.error, KeyError)
    assert len(sound.value) == 2


def test_a_bank_that_breaks_while_it_is_read_stops_everything() -> None:
    def source(split: str) -> Iterator[Batch]:
        yield from list(Counter()(split))[:1]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        converse([talk("one", Mean(features)), talk("two", Mean(logits))], source)


def test_a_question_in_one_word() -> None:
    assert describe(Mean(features)) == "Mean(features)"
    assert describe(Moments()) == "Moments(features)"
