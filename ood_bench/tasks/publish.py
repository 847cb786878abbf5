"""Leaderboards of further tasks: `<suite>.<task>.csv`, one file per task. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from ood_bench.files import write_bytes
from ood_bench.naming import folder_name
from ood_bench.store.records import Run
from ood_bench.store.store import Store
from ood_bench.suites import Suite
from ood_bench.tasks.catalogue import TASKS
from ood_bench.tasks.render import to_csv
from ood_bench.tasks.row import TaskRow
from ood_bench.tasks.task import Asked


def export_tasks(
    store: Store,
    suite: Suite,
    folder: Path,
    *,
    run: Run | None = None,
    models: Collection[str] = (),
    plugins: bool = False,
) -> list[Path]:
    """Write the CSV of every task that has numbers, and return the paths; equal results give equal files."""
    asked = Asked(store, suite, run, models)
    paths = []
    for name, task in TASKS.items():
        if task.unsupported(suite) is not None:
            continue
        rows = [row for row in task.rows(asked) if plugins or row.origin != "plugin"]
        if any(row.status == "ok" for row in rows):
            path = folder / f"{folder_name(suite.name)}.{name}.csv"
            write_bytes(path, to_csv(task, sorted(map(_plain, rows), key=_order)).encode())
            paths.append(path)
    return paths


def _plain(row: TaskRow) -> TaskRow:
    return replace(row, protocol=" ".join(row.protocol.split())) if row.protocol else row


def _order(row: TaskRow) -> tuple[str | int, ...]:
    seed = -1 if row.model_seed is None else row.model_seed
    return (row.model, seed, row.method, row.params or "", row.profile or "", row.group, row.set)
