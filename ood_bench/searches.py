"""The neighbour searches that scoring a bank asks for: over which fit rows, for how many scored rows at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ood_bench.bank.base import Bank
from ood_bench.batch import Batch
from ood_bench.fitting import Fitted, View
from ood_bench.neighbours import Searcher
from ood_bench.reductions import Split
from ood_bench.requirements import tensors_read
from ood_bench.stream import Stream
from ood_bench.types import Head, Info

Answers = Callable[[Batch, Any], Tensor]


@dataclass(frozen=True)
class Searches:
    """Who answers the neighbour questions asked behind each view, and how many numbers they keep per scored row."""

    by_view: Mapping[View, Answers]
    kept: int

    @classmethod
    def of(
        cls, fitted: Sequence[Fitted], bank: Callable[[Split], Bank], head: Head | None, info: Info, stream: Stream
    ) -> Searches:
        """One search per view and fit bank, which answers all questions that are asked there."""
        asked: dict[View, dict[Split, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for one in fitted:
            if one.neighbours:
                asked[one.view][one.spec.fit_split] += one.neighbours
        block = stream.searched_at_once()
        names = tensors_read(one.spec for one in fitted if one.neighbours)
        answers = {
            view: _first_that_knows(
                [
                    Searcher(
                        _fit_rows(view, bank(split), head, info, stream, names), tuple(dict.fromkeys(questions)), block
                    )
                    for split, questions in by_split.items()
                ]
            )
            for view, by_split in asked.items()
        }
        return cls(answers, sum(getattr(question, "k", 1) for one in fitted for question in one.neighbours))

    def rows_read(self, bank: Bank, stream: Stream) -> int:
        """How many rows to read at a time: more where neighbours are searched, as the fit bank streams past them all."""
        rows = stream.rows_for(bank)
        return max(rows, stream.rows_searched(bank, self.kept)) if self.by_view else rows

    def answers(self, view: View, whole: Batch, rows: slice) -> Answers:
        """Answers for some rows of what was read. The first question searches for all of it."""
        search = self.by_view[view]
        return lambda _, question: search(view.of(whole), question)[rows]


def _first_that_knows(searchers: Sequence[Searcher]) -> Answers:
    """One searcher for questions to several banks: each question goes to the one that was asked it."""

    def answer(batch: Batch, question: Any) -> Tensor:
        return next(one for one in searchers if question in one.questions)(batch, question)

    return searchers[0] if len(searchers) == 1 else answer


def _fit_rows(
    view: View, bank: Bank, head: Head | None, info: Info, stream: Stream, names: frozenset[str] | None
) -> Callable[[], Iterable[Batch]]:
    """The fit bank as the view sees it: kept on the device where it fits in the budget, else streamed."""

    def streamed() -> Iterable[Batch]:
        rows = stream.rows_beside(bank)
        return (view.of(batch) for batch in stream.batches(bank, head, info.n_classes, rows, names))

    if not stream.may_stay(bank, copies=2):  # with the unit features and the probabilities that searches ask for
        return streamed
    held: list[Batch] = []

    def resident() -> Iterable[Batch]:
        if not held:
            held.extend(streamed())
        return held

    return resident
