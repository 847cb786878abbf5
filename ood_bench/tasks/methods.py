"""What the tasks that ask banks have in common: a method may learn from fit and val, then converses with each target."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ood_bench.bank.base import Bank
from ood_bench.conversation import Ask
from ood_bench.tasks.row import Value
from ood_bench.types import Head, Info


@dataclass(frozen=True, slots=True)
class Answered:
    """What a method says about one target: values under the task's column names, what it chose, columns of a diagram."""

    values: Mapping[str, Value]
    learned: Mapping[str, object] = field(default_factory=dict)
    tables: Mapping[str, Sequence[float | None]] | None = None


@runtime_checkable
class Method(Protocol):
    """An estimator, a calibrator, a way to judge abstention: what can be asked about any bank of a run."""

    @property
    def task(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> str:
        """The name with whatever differs from the defaults, as it would be typed."""

    @property
    def version(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Value]: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def origin(self) -> str: ...
    @property
    def plugin_sha256(self) -> str | None: ...

    def resolved(self, info: Info) -> Method:
        """With parameters that depend on the banks' shapes filled in."""

    def fit(self, head: Head | None, info: Info) -> Generator[Ask, Any, Any]:
        """The conversation with fit and val; its value is handed to `ask`."""

    def ask(self, fitted: Any, target: Bank) -> Generator[Ask, Any, Answered]:
        """The conversation with one target (split "target")."""
