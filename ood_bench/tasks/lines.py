"""Rows that follow from stored scores: what they have in common, and the unweighted mean over a group. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ood_bench.canonical import sha256_of
from ood_bench.store.records import ScoreRecord
from ood_bench.store.row import MEAN
from ood_bench.store.selection import Line
from ood_bench.suites import Suite
from ood_bench.tasks.row import Status, TaskRow, Value


def row_of(suite: Suite, line: Line, set_name: str, group: str, records: Sequence[ScoreRecord]) -> TaskRow:
    """A row without values, described by the records that it will be computed from."""
    described = list(records) or list(line.records.values())[:1]
    sources = [record.provenance[0] for record in described if record.provenance]
    keys = [record.key for record in records]
    return TaskRow(
        suite=suite.name,
        protocol=suite.protocol or None,
        model=line.model,
        model_seed=line.model_seed,
        method=line.scorer,
        params=line.params,
        profile=described[0].profile if described else None,
        set=set_name,
        group=group,
        version=described[0].key.version if described else None,
        origin=described[0].origin if described else None,
        inputs_sha256=sha256_of([key.to_json() for key in keys]) if keys else None,
        scores_sha256=sha256_of([record.scores_sha256 for record in records]) if records else None,
        ood_bench_version=", ".join(dict.fromkeys(source["program"] for source in sources)) or None,
        date=max((source["time"] for source in sources), default=None),
        spec=line.spec,
    )


def empty(row: TaskRow, status: Status, reason: str) -> TaskRow:
    """The row with the reason why it has no values."""
    return replace(row, status=status, reason=reason)


def why_missing(suite: Suite, line: Line, names: Iterable[str]) -> tuple[Status, str]:
    """Why a line has no scores on these sets: what the run said, or what would have to be done."""
    wanted = {None, *names}
    statuses: tuple[tuple[Status, tuple[object, ...]], ...] = (("failed", line.failed), ("skipped", line.skipped))
    for status, entries in statuses:
        for entry in entries:
            if getattr(entry, "set", None) in wanted:
                return status, str(getattr(entry, "reason", ""))
    absent = ", ".join(sorted(name for name in wanted if name))
    remedy = f"ood-bench run --suite {suite.name} --model {line.model} --scorer {line.spec}"
    return "skipped", f"no scores on {absent}; make its bank if there is none, then: {remedy}"


def mean_row(like: TaskRow, members: Sequence[TaskRow], averaged: Sequence[str]) -> TaskRow:
    """The unweighted mean over a group, only where every set of it is there; a value that one set lacks is left out."""
    row = replace(like, set=MEAN, inputs_sha256=None, scores_sha256=None)
    missing = [member.set for member in members if member.status != "ok"]
    if missing:
        reason = f"the mean over {like.group} needs every set of it, but there is no number for {', '.join(missing)}"
        return empty(row, "skipped", reason)
    values: dict[str, Value] = {}
    for name in averaged:
        known = [value for member in members if isinstance(value := member.values.get(name), int | float)]
        values[name] = math.fsum(known) / len(known) if len(known) == len(members) else None
    return replace(
        row,
        n=sum(member.n or 0 for member in members),
        values=values,
        inputs_sha256=sha256_of([member.inputs_sha256 for member in members]),
        scores_sha256=sha256_of([member.scores_sha256 for member in members]),
        date=max((member.date for member in members if member.date), default=None),
    )
