"""Every task by name, and which of them a suite supports. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ood_bench.errors import RequestError
from ood_bench.naming import unknown
from ood_bench.store.records import Run
from ood_bench.store.store import Store
from ood_bench.suites import Suite
from ood_bench.tasks.abstention import ABSTENTION
from ood_bench.tasks.accuracy import ACCURACY
from ood_bench.tasks.calibration import CALIBRATION
from ood_bench.tasks.fsood import FSOOD
from ood_bench.tasks.row import TaskRow
from ood_bench.tasks.scod import SCOD
from ood_bench.tasks.selective import SELECTIVE
from ood_bench.tasks.task import Asked, Task

OOD = "ood"  # the task of its own: `rows` of --json, the leaderboard without a suffix
TASKS: dict[str, Task] = {task.name: task for task in (FSOOD, SELECTIVE, SCOD, CALIBRATION, ACCURACY, ABSTENTION)}
NAMES: tuple[str, ...] = (OOD, *TASKS)


def get_task(name: str) -> Task:
    """The task of that name; RequestError with near matches and the list otherwise."""
    if name not in TASKS:
        raise unknown("task", name, NAMES)
    return TASKS[name]


def chosen_tasks(asked: Iterable[str], suite: Suite) -> tuple[str, ...]:
    """The tasks asked for; where none is, all that the suite supports. A task asked for by name must be possible."""
    names = tuple(dict.fromkeys(asked))
    if not names:
        possible = [name for name, task in TASKS.items() if task.unsupported(suite) is None]
        return (*([OOD] if suite.groups else []), *possible)
    for name in names:
        reason = get_task(name).unsupported(suite) if name != OOD else None
        if reason is not None:
            raise RequestError(f"task {name}: {reason}")
    return names


def task_rows(
    name: str,
    store: Store,
    suite: Suite,
    *,
    run: Run | None = None,
    models: Collection[str] = (),
    methods: Collection[str] = (),
) -> list[TaskRow]:
    """The rows of one task, from what is stored."""
    return get_task(name).rows(Asked(store, suite, run, models, methods))
