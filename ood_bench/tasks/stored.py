"""Rows that stand in the store as answers: one per method and set. Needs no torch."""

from __future__ import annotations

from ood_bench.canonical import canonical_json
from ood_bench.tasks.answers import Answer, Checkpoint, checkpoints
from ood_bench.tasks.row import TaskRow
from ood_bench.tasks.task import Asked


def stored_rows(asked: Asked, task: str) -> list[TaskRow]:
    """One row per checkpoint, method and ID set, and one for each reason why there is none."""
    return [
        row
        for checkpoint in checkpoints(asked.store, asked.suite.name, task, asked.run, asked.models)
        for row in (*_answered(asked, checkpoint), *_unanswered(asked, checkpoint))
    ]


def wanted(asked: Asked, method: str, spec: str) -> bool:
    """Whether the request names this method, or none at all."""
    return not asked.methods or method in asked.methods or spec in asked.methods


def groups_of(asked: Asked) -> dict[str, str]:
    """By set: `test`, or the family of shifted sets."""
    table = {name: family for family, names in asked.suite.shifted.items() for name in names}
    return table | ({asked.suite.test: "test"} if asked.suite.test is not None else {})


def _answered(asked: Asked, checkpoint: Checkpoint) -> list[TaskRow]:
    groups = groups_of(asked)
    order = list(groups)
    found = [a for a in checkpoint.answers if a.set in groups and wanted(asked, a.key.method, a.spec)]
    found.sort(key=lambda answer: (groups[answer.set] != "test", order.index(answer.set)))
    return [row_of_answer(asked, answer, groups[answer.set]) for answer in found]


def row_of_answer(asked: Asked, answer: Answer, group: str) -> TaskRow:
    """The answer as a row."""
    note = (answer.learned or {}).get("note")
    return TaskRow(
        suite=asked.suite.name,
        protocol=asked.suite.protocol or None,
        model=answer.model,
        model_seed=answer.model_seed,
        method=answer.key.method,
        params=canonical_json(answer.key.params),
        set=answer.set,
        group=group,
        n=answer.n,
        reason=str(note) if note is not None else None,
        version=answer.key.version,
        origin=answer.origin,
        inputs_sha256=answer.key.sha256,
        ood_bench_version=answer.provenance["program"],
        date=answer.provenance["time"],
        spec=answer.spec,
        values=answer.values,
    )


def _unanswered(asked: Asked, checkpoint: Checkpoint) -> list[TaskRow]:
    return [
        TaskRow(
            suite=asked.suite.name,
            protocol=asked.suite.protocol or None,
            model=checkpoint.model,
            model_seed=checkpoint.model_seed,
            method=entry.method.partition(":")[0],
            set=entry.set or asked.suite.test or "",
            group=groups_of(asked).get(entry.set or "", "test"),
            status="failed" if entry.failed else "skipped",
            reason=entry.reason,
            spec=entry.method,
        )
        for entry in checkpoint.unanswered
        if wanted(asked, entry.method.partition(":")[0], entry.method)
    ]
