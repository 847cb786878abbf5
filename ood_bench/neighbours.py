"""Neighbour searches: the fit bank is streamed once past all queries of a batch, and one search serves all who ask.

A neighbour question is a frozen value that a fitted scorer lists in `neighbours` and reads with `batch.answer`. What is
kept per query is its k best similarities or a running sum; no scorer holds the rows of the fit bank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.selection import largest, largest_of_groups


@runtime_checkable
class NeighbourQuestion(Protocol):
    """What the engine asks for each block of fit rows, given their cosine with every query."""

    def add(
        self, state: Tensor | None, queries: Batch, rows: Batch, cosine: Float[Tensor, "q m"]
    ) -> Float[Tensor, "q ..."]: ...

    def widened(self, other: NeighbourQuestion) -> NeighbourQuestion | None:
        """One question that answers both, or None."""
        ...

    def narrowed(self, answer: Float[Tensor, "q ..."]) -> Float[Tensor, "q ..."]:
        """This question's part of a wider question's answer."""
        ...


@dataclass(frozen=True)
class TopCosine:
    """The k largest cosines between a query and the fit rows, falling: (q, k)."""

    k: int

    def add(self, state: Tensor | None, queries: Batch, rows: Batch, cosine: Float[Tensor, "q m"]) -> Tensor:
        return keep_largest(state, cosine, self.k)

    def widened(self, other: NeighbourQuestion) -> NeighbourQuestion | None:
        return replace(self, k=max(self.k, other.k)) if type(other) is type(self) else None

    def narrowed(self, answer: Float[Tensor, "q ..."]) -> Float[Tensor, "q ..."]:
        return answer[:, : self.k]


def keep_largest(state: Tensor | None, values: Float[Tensor, "q m"], k: int) -> Float[Tensor, "q k"]:
    """The k largest of the k kept so far and a block of new values, falling."""
    values = largest_of_groups(values, k)
    if state is not None:
        values = torch.cat([state, values], dim=1)
    return largest(values, min(k, values.shape[1]))


def search(
    queries: Batch, rows: Iterable[Batch], questions: Sequence[NeighbourQuestion], block: int
) -> dict[NeighbourQuestion, Tensor]:
    """Answers of all questions for the queries, from one stream of fit rows; at most `block` queries x rows at a time."""
    wide = _widest(questions)
    q = queries.unit_features
    size = None
    states: dict[tuple[int, int], Any] = {}
    slices: list[tuple[slice, Batch]] = []
    for batch in rows:
        unit = batch.unit_features.T
        if size is None:
            size = max(1, min(len(q), block // max(1, unit.shape[1])))
            slices = [(slice(at, at + size), queries.rows(at, at + size)) for at in range(0, len(q), size)]
        for at, (part, few) in enumerate(slices):
            cosine = q[part] @ unit
            for number, question in enumerate(wide):
                states[number, at] = question.add(states.get((number, at)), few, batch, cosine)
    whole = {
        question: torch.cat([states[number, at] for at in range(len(slices))]) for number, question in enumerate(wide)
    }
    return {
        question: question.narrowed(next(answer for wider, answer in whole.items() if _covers(wider, question)))
        for question in questions
    }


@dataclass(frozen=True, eq=False)
class Searcher:
    """What a batch's `answer` calls: the first question runs the search for all of them, the others read its result."""

    rows: Callable[[], Iterable[Batch]]
    questions: tuple[NeighbourQuestion, ...]
    block: int

    def __call__(self, batch: Batch, question: NeighbourQuestion) -> Tensor:
        answers = batch.once(self, lambda: search(batch, self.rows(), self.questions, self.block))
        return answers[question]


def _widest(questions: Sequence[NeighbourQuestion]) -> list[NeighbourQuestion]:
    wide: list[NeighbourQuestion] = []
    for question in questions:
        for at, other in enumerate(wide):
            merged = other.widened(question)
            if merged is not None:
                wide[at] = merged
                break
        else:
            wide.append(question)
    return wide


def _covers(wider: NeighbourQuestion, question: NeighbourQuestion) -> bool:
    return wider == question or wider.widened(question) == wider
