"""`ood-bench run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ood_bench import api
from ood_bench.cli.options import HOME, JSON, Bytes, print_json
from ood_bench.registry import load_all, load_plugin
from ood_bench.tasks.catalogue import NAMES
from ood_bench.tasks.results import TaskResults


@click.command()
@click.option("--suite", metavar="NAME", help="Which suite. [default: the model's own; digits without a model]")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Which backbone; repeat for several.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where a model has several.")
@click.option(
    "--scorer",
    "scorers",
    multiple=True,
    metavar="SPEC",
    help="[rectifier+]name[:param=value,...], e.g. vim, knn:k=50, ash-s+energy; repeat for several. [default: all]",
)
@click.option("--profile", metavar="NAME", help="Another benchmark's parameters, e.g. openood-v1.5.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with scorers of your own. It is executed: run only code that you trust.",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="NAME",
    help=f"{', '.join(NAMES)}; repeat. [default: all that the suite supports]",
)
@click.option(
    "--estimator",
    "estimators",
    multiple=True,
    metavar="SPEC",
    help="Of the task accuracy: name[:param=value,...], e.g. mano:branch=softmax; repeat for several. [default: all]",
)
@click.option("--second", metavar="MODEL[@SEED]", help="The checkpoint that the estimator `agreement` compares with.")
@click.option(
    "--loadings",
    type=(float, float),
    multiple=True,
    metavar="C W",
    help="Of the task abstention: what a right answer gains and a wrong one loses; repeat. [default: 1 1]",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--memory", type=Bytes(), metavar="SIZE", help="How much to use, e.g. 2GiB. [default: half of what is free]"
)
@click.option("--recompute", is_flag=True, help="Score anew what is stored already, and compare.")
@click.option("--detail", is_flag=True, help="Show every set, not only the means over groups.")
@HOME
@JSON
def run(
    suite: str | None,
    models: tuple[str, ...],
    model_seed: int | None,
    scorers: tuple[str, ...],
    profile: str | None,
    plugins: tuple[Path, ...],
    tasks: tuple[str, ...],
    estimators: tuple[str, ...],
    second: str | None,
    loadings: tuple[tuple[float, float], ...],
    device: str,
    memory: int | None,
    recompute: bool,
    detail: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Score a suite's banks of one or more models; fitting and scoring share all work that scorers have in common.

    Scores that are in the store already are not computed again. What lacks an input is skipped with the flag that
    would supply it. Without any option: suite digits, model digits-cnn, all scorers.
    """
    load_all()
    for plugin in plugins:
        load_plugin(plugin)
    done = [
        api.run(
            suite,
            model,
            list(scorers) or "all",
            model_seed=model_seed,
            profile=profile,
            tasks=tasks,
            estimators=estimators or "all",
            second=second,
            loadings=loadings or ((1.0, 1.0),),
            device=device,
            memory=memory,
            recompute=recompute,
            home=home,
        )
        for model in models or (None,)
    ]
    if as_json:
        print_json(document(done))
    else:
        for results in done:
            for table in results.tables(detail=detail, top=None if tasks or detail else api.SHORT):
                click.echo(table)
    return int(any(has_failed(results) for results in done))


def has_failed(results: api.Results) -> bool:
    """Whether anything broke, or nothing at all came out."""
    broken = (
        bool(results.failed)
        or any(row.status == "failed" for row in results.rows)
        or any(one.has_failed for one in results.tasks.values())
    )
    return broken or not (results.run.records or any(one.has_numbers for one in results.tasks.values()))


def document(done: list[api.Results]) -> dict[str, object]:
    """What --json prints: OOD detection under `rows`, the leaderboard's column names; other tasks under `tasks`."""

    def reasons(kind: str) -> list[dict[str, object]]:
        return [
            {"scorer": one.scorer, "model": one.model, "suite": one.suite, "set": one.set, "reason": one.reason}
            for results in done
            for one in getattr(results, kind)
        ]

    return {
        "schema": 1,
        "rows": [row.columns() for results in done for row in results.rows],
        "skipped": reasons("skipped"),
        "failed": reasons("failed"),
        "tasks": tasks_document([results.tasks for results in done]),
    }


def tasks_document(done: Sequence[Mapping[str, TaskResults]]) -> dict[str, dict[str, Any]]:
    """The documents of every task, those of several models joined: each part of a document is a list."""
    joined: dict[str, dict[str, Any]] = {}
    for results in done:
        for name, one in results.items():
            parts = joined.setdefault(name, {})
            for part, entries in one.document().items():
                parts.setdefault(part, []).extend(entries)
    return joined
