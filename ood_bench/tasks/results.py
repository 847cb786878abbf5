"""What a run found for one task, for Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ood_bench.tasks.row import TaskRow
from ood_bench.tasks.task import Asked, Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TaskResults:
    """The answer to one task: rows, and the further parts of its JSON document (points, diagrams)."""

    task: Task
    rows: tuple[TaskRow, ...]
    details: Mapping[str, object]

    @classmethod
    def of(cls, task: Task, asked: Asked) -> TaskResults:
        """The answer out of the store."""
        return cls(task, tuple(task.rows(asked)), dict(task.details(asked)))

    @property
    def has_numbers(self) -> bool:
        """Whether any row has values; otherwise there are only reasons."""
        return any(row.status == "ok" for row in self.rows)

    @property
    def has_failed(self) -> bool:
        """Whether a method broke, which is not the same as having been skipped for cause."""
        return any(row.status == "failed" for row in self.rows)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows under their column names; shares in [0, 1]."""
        import pandas as pd  # not at the top: it takes a second, and few runs need it

        return pd.DataFrame([self.task.flat(row) for row in self.rows])

    def document(self) -> dict[str, object]:
        """What stands under the task's name in `tasks` of --json."""
        return self.task.document(self.rows, self.details)
