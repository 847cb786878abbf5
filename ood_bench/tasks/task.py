"""What a task is: its columns, what a suite must have for it, and how its rows come out of the store. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int

from ood_bench.store.records import Run
from ood_bench.store.selection import Line, select
from ood_bench.store.store import Store
from ood_bench.suites import Suite
from ood_bench.tasks.row import Column, TaskRow, Value, as_columns

Outcomes = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]


@dataclass(frozen=True)
class Asked:
    """Whose rows are wanted: a suite's, of one run or of everything that is stored, of some models and methods."""

    store: Store
    suite: Suite
    run: Run | None = None
    models: Collection[str] = ()
    methods: Collection[str] = ()  # names or specs; all where empty
    _outcomes: dict[str, Outcomes | None] = field(default_factory=dict, repr=False)

    @cached_property
    def lines(self) -> list[Line]:
        """One line per scorer and checkpoint, with its score records by set."""
        return select(self.store, self.suite, self.run, self.models, self.methods)

    def outcomes(self, bank_sha256: str) -> Outcomes | None:
        """(predicted classes, labels) of a bank, read once; None where nobody kept them, or where no row has a label."""
        if bank_sha256 not in self._outcomes:
            found = self.store.outcomes(bank_sha256)
            self._outcomes[bank_sha256] = found if found is not None and bool((found[1] >= 0).any()) else None
        return self._outcomes[bank_sha256]


@dataclass(frozen=True)
class Task:
    """One question to the same tensors. `rows` computes the answer from what is stored."""

    name: str
    title: str
    method: str  # what its column of methods is called
    columns: tuple[Column, ...]
    rank_by: str  # the column by which a table is sorted
    rows: Callable[[Asked], list[TaskRow]]
    unsupported: Callable[[Suite], str | None]  # why a suite cannot have it; None where it can
    notes: tuple[str, ...] = ()  # sentences below every table of the task
    compact: Callable[[TaskRow], bool] = lambda row: True  # which rows the short table shows
    from_scores: bool = True  # whether stored scores are enough; otherwise banks are asked while a run has them
    details: Callable[[Asked], Mapping[str, object]] = lambda asked: {}  # further parts of its JSON document

    @cached_property
    def columns_by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def flat(self, row: TaskRow) -> dict[str, Value]:
        """A row under its column names, as in JSON and CSV."""
        return as_columns(row, self.columns, self.method)

    def document(self, rows: Sequence[TaskRow], details: Mapping[str, object]) -> dict[str, object]:
        """What stands under the task's name in `tasks` of --json."""
        return {"rows": [self.flat(row) for row in rows], **details}
