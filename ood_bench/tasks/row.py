"""One line of a further task: a method on a checkpoint and a set, and the values the task defines. Needs no torch.

Shares are in [0, 1]. What is not known is None with a reason, never a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

SCHEMA = 1
Value: TypeAlias = "str | int | float | None"
Status = Literal["ok", "skipped", "failed"]
Unit = Literal["percent", "number", "count", "text"]


@dataclass(frozen=True, slots=True)
class Column:
    """A value that a task defines: its name in files, how a table heads it, which direction is better."""

    name: str
    title: str
    meaning: str
    higher_is_better: bool | None = None  # None: neither, as of a count
    unit: Unit = "percent"
    shown: bool = True  # in the compact table; files have every column

    @property
    def heading(self) -> str:
        arrow = {True: " ↑", False: " ↓", None: ""}[self.higher_is_better]
        return self.title + arrow


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """The columns that all tasks share, and `values` under the names of the task's own columns."""

    suite: str
    protocol: str | None = None
    model: str
    model_seed: int | None = None
    method: str  # of a scorer, an estimator, a calibrator, ...: its registered name
    params: str | None = None  # canonical JSON of all resolved parameters
    profile: str | None = None
    set: str
    group: str  # test, a shifted family, an OOD group
    n: int | None = None
    status: Status = "ok"
    reason: str | None = None  # why there is no number; beside a number: what a reader must know about it
    version: str | None = None
    origin: str | None = None
    inputs_sha256: str | None = None
    scores_sha256: str | None = None
    ood_bench_version: str | None = None
    date: str | None = None
    spec: str | None = field(default=None, repr=False)  # as it is typed; not a column
    values: Mapping[str, Value] = field(default_factory=dict)


# Shared columns in their order; those of the task follow, so that either may grow at its end.
SHARED: tuple[str, ...] = (
    "suite",
    "protocol",
    "model",
    "model_seed",
    "method",
    "params",
    "profile",
    "set",
    "group",
    "n",
    "status",
    "reason",
    "version",
    "origin",
    "inputs_sha256",
    "scores_sha256",
    "ood_bench_version",
    "date",
)


def as_columns(row: TaskRow, own: Sequence[Column], method: str) -> dict[str, Value]:
    """The row under its column names; `method` is what the task calls the one who answers (`scorer`, ...)."""
    shared = {(method if name == "method" else name): getattr(row, name) for name in SHARED}
    return {"schema": SCHEMA, **shared, **{column.name: row.values.get(column.name) for column in own}}
