"""Scorers that stand against each other: the stored scores of each, aligned row by row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.naming import unknown
from ood_bench.store.records import ScoreRecord
from ood_bench.store.selection import Line, select
from ood_bench.store.store import Store
from ood_bench.suites import Suite

ALL = "all"


class Checkpoint(NamedTuple):
    """One backbone, and which checkpoint of it."""

    model: str
    model_seed: int | None

    def __str__(self) -> str:
        return self.model if self.model_seed is None else f"{self.model}@{self.model_seed}"


@dataclass(frozen=True, slots=True)
class Contender:
    """One scorer with its parameters: its records by checkpoint and set."""

    name: str
    records: Mapping[Checkpoint, Mapping[str, ScoreRecord]]

    def sets(self, suite: Suite, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The OOD sets on which the scorer can be measured, in the suite's order."""
        found = self.records.get(checkpoint, {})
        if suite.test not in found:
            return ()
        return tuple(name for sets in suite.groups.values() for name in sets if name in found)


def find_contenders(
    store: Store, suite: Suite, names: Sequence[str], models: Collection[str] = ()
) -> tuple[Contender, ...]:
    """The stored scorers of those names or specs; `all` means every one that is stored for the suite.

    A name that stands for several stored specs is an error that lists them.
    """
    by_spec: dict[str, dict[Checkpoint, Line]] = {}
    for line in select(store, suite, None, models, ()):
        if line.records:
            name = _named(line)
            by_spec.setdefault(name, {})[Checkpoint(line.model, line.model_seed)] = line
    if not by_spec:
        where = f" and {', '.join(models)}" if models else ""
        raise RequestError(f"no scores are stored for suite {suite.name}{where}; run it first: ood-bench run")
    chosen = list(by_spec) if ALL in names else [_only(name, by_spec) for name in names]
    return tuple(
        Contender(name, {place: line.records for place, line in by_spec[name].items()})
        for name in dict.fromkeys(chosen)
    )


def aligned(
    store: Store, first: Contender, second: Contender, checkpoint: Checkpoint, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Both scorers' scores of a set, row by row of one bank."""
    records = [contender.records[checkpoint][name] for contender in (first, second)]
    if records[0].key.bank_sha256 != records[1].key.bank_sha256:
        raise IntegrityError(
            f"{first.name} and {second.name} should have scored the same rows of {name} on {checkpoint}, but their "
            "banks differ; run both on the bank that is there now"
        )
    return store.scores(records[0]), store.scores(records[1])


def _named(line: Line) -> str:
    origin = next(iter(line.records.values())).origin
    return line.spec if origin in ("ours", "plugin") else f"{line.spec} ({origin})"


def _only(name: str, by_spec: Mapping[str, Mapping[Checkpoint, Line]]) -> str:
    if name in by_spec:
        return name
    meant = [spec for spec, lines in by_spec.items() if any(line.scorer == name for line in lines.values())]
    if not meant:
        raise unknown("stored scorer", name, by_spec)
    if len(meant) > 1:
        raise RequestError(f"{name!r} could be any of {', '.join(sorted(meant))}; name the one that is meant")
    return meant[0]
