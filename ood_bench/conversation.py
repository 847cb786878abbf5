"""Fits as conversations: all scorers advance together, and one streamed pass per round answers what all of them ask.

A conversation is a generator that yields questions (reductions) and receives their results. The number of passes is
that of the longest conversation, not the sum; equal questions are answered once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeAlias

from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.reductions import Question, Split

Ask: TypeAlias = "Question[Any, Any] | tuple[Question[Any, Any], ...]"
Source: TypeAlias = Callable[[Split], Iterable[Batch]]


@dataclass(eq=False)
class Talk:
    """One conversation: where it stands, what it waits for, what came of it."""

    name: str
    generator: Generator[Ask, Any, Any]
    waiting: Ask = ()
    value: Any = None
    error: Exception | None = None
    done: bool = False
    seconds: float = 0.0
    told: list[tuple[Tensor, int]] = field(default_factory=list)  # what was answered, with the version it had

    def advance(self, answer: Any, error: Exception | None = None) -> None:
        """Hand over the answer (or the error of one), and run on to the next question or the end."""
        started = time.perf_counter()
        self.told += [(tensor, tensor._version) for tensor in tensors_in(answer)]
        try:
            try:
                self.waiting = self.generator.send(answer) if error is None else self.generator.throw(error)
            finally:
                wrote = any(tensor._version != version for tensor, version in self.told)
                check_unmodified(["an answer that it shares with others"] if wrote else [])
        except StopIteration as stop:
            self.done, self.value = True, stop.value
        except Exception as failure:  # one scorer's failure must not lose the others: it is kept and reported
            self.done, self.error = True, failure
        self.seconds += time.perf_counter() - started

    @property
    def questions(self) -> tuple[Question[Any, Any], ...]:
        return self.waiting if isinstance(self.waiting, tuple) else (self.waiting,)


@dataclass(frozen=True, slots=True)
class Pass:
    """One question that was answered: on which split, how long it took, and for whom."""

    question: str
    split: str
    seconds: float
    used_by: tuple[str, ...]


@dataclass(eq=False)
class _Answer:
    question: Question[Any, Any]
    used_by: list[Talk] = field(default_factory=list)
    partial: Any = None
    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0

    def add(self, batch: Batch) -> None:
        if self.error is not None:
            return
        started = time.perf_counter()
        try:
            self.partial = self.question.add(self.partial, batch)
            check_unmodified(batch.modified())
        except Exception as failure:  # kept for those who asked; the pass goes on for the others
            self.error = failure
        self.seconds += time.perf_counter() - started

    def finish(self) -> None:
        if self.error is None:
            try:
                self.result = self.question.result(self.partial)
            except Exception as failure:  # as above
                self.error = failure
        self.partial = None


def converse(talks: Sequence[Talk], source: Source) -> list[Pass]:
    """Run all conversations to their ends. `source(split)` streams a bank. Returns what was asked, and its cost.

    The seconds of a question that one scorer alone asked are added to that scorer's own.
    """
    passes: list[Pass] = []
    for talk in talks:
        talk.advance(None)
    while active := [talk for talk in talks if not talk.done]:
        answers: dict[Question[Any, Any], _Answer] = {}
        for talk in active:
            for question in talk.questions:
                answers.setdefault(question, _Answer(question)).used_by.append(talk)
        by_split: dict[Split, list[_Answer]] = defaultdict(list)
        for answer in answers.values():
            by_split[answer.question.split].append(answer)
        for split, asked in by_split.items():
            _one_pass(source, split, asked)
        for answer in answers.values():
            users = tuple(dict.fromkeys(talk.name for talk in answer.used_by))
            if len(users) == 1:
                answer.used_by[0].seconds += answer.seconds
            passes.append(Pass(describe(answer.question), answer.question.split, answer.seconds, users))
        for talk in active:
            mine = [answers[question] for question in talk.questions]
            error = next((answer.error for answer in mine if answer.error is not None), None)
            several = isinstance(talk.waiting, tuple)
            talk.advance(tuple(answer.result for answer in mine) if several else mine[0].result, error)
    return passes


def check_unmodified(names: Sequence[str]) -> None:
    """Raise ValueError where a plug-in wrote into what is not its own."""
    if names:
        raise ValueError(f"it modified {', '.join(names)} in place; work on a copy (clone)")


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors of a question's result: itself, or those in its fields and items."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from tensors_in(getattr(value, one.name))


def describe(question: object) -> str:
    """A question in one word, as the cost table shows it."""
    inner = getattr(question, "question", question)
    of = getattr(inner, "of", None)
    column = f"({getattr(of, '__name__', type(of).__name__)})" if of is not None else ""
    return f"{type(inner).__name__}{column}"


def _one_pass(source: Source, split: Split, asked: list[_Answer]) -> None:
    try:
        for batch in source(split):
            for answer in asked:
                answer.add(batch)
    except CannotScore as refusal:  # there is no such split: those who asked for it are told, the others go on
        for answer in asked:
            answer.error = answer.error or refusal
    except Exception as failure:
        for answer in asked:
            answer.error = answer.error or failure
        raise
    for answer in asked:
        answer.finish()
