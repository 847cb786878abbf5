"""`ood-bench table`: stored results, rendered. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.cli.tables import show
from ood_bench.defaults import default_suite
from ood_bench.errors import RequestError
from ood_bench.files import write_bytes
from ood_bench.home import Home, find_home
from ood_bench.naming import unknown
from ood_bench.published import COLUMNS, compare
from ood_bench.render.table import FORMATS, Format, render
from ood_bench.statistics.families import by_family
from ood_bench.store.records import Run
from ood_bench.store.rows import Row, rows_of
from ood_bench.store.seeds import aggregate_seeds
from ood_bench.store.selection import select
from ood_bench.store.store import Store
from ood_bench.suites import FprOrientation, Suite, load_suite
from ood_bench.tasks.catalogue import NAMES, OOD, chosen_tasks, get_task
from ood_bench.tasks.figures import figure
from ood_bench.tasks.render import render_task
from ood_bench.tasks.task import Asked


@click.command()
@click.option("--suite", metavar="NAME", help="Which suite. [default: that of the latest run]")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only these models.")
@click.option("--scorer", "scorers", multiple=True, metavar="SPEC", help="Only these scorers.")
@click.option("--task", "task_names", multiple=True, metavar="NAME", help=f"{', '.join(NAMES)}; repeat. [default: ood]")
@click.option("--run", "run_id", metavar="ID", help="Only what this run answered (see ood-bench list runs).")
@click.option("--format", "fmt", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--fpr", type=click.Choice(["id_positive", "ood_positive"]), help="Which FPR95. [default: the suite's]")
@click.option(
    "--metric", "metrics", multiple=True, help="auroc, fpr95, aupr_in, aupr_out; repeat. [default: auroc, fpr95]"
)
@click.option("--detail/--means", default=None, help="Every set, or only the means over groups. [default: what fits]")
@click.option("--seeds", is_flag=True, help="Mean over checkpoints and seeds instead of a line for each.")
@click.option("--by", type=click.Choice(["backbone-family"]), help="Mean over the backbones of each family.")
@click.option("--intervals", is_flag=True, help="95 % intervals: DeLong for AUROC of a set, bootstrap for the rest.")
@click.option("--published", is_flag=True, help="The figures that the suite's paper prints, beside ours.")
@click.option(
    "--figure",
    "figure_file",
    type=click.Path(path_type=Path),
    metavar="FILE.svg",
    help="Draw the task instead: scatter plots (accuracy), reliability diagrams (calibration), risk-coverage (selective).",
)
@HOME
@JSON
def table(
    suite: str | None,
    models: tuple[str, ...],
    scorers: tuple[str, ...],
    task_names: tuple[str, ...],
    run_id: str | None,
    fmt: Format,
    fpr: str | None,
    metrics: tuple[str, ...],
    detail: bool | None,
    seeds: bool,
    by: str | None,
    intervals: bool,
    published: bool,
    figure_file: Path | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Render what is stored: everything of a suite, or one run. Best and second best of each column are marked."""
    place = find_home(home)
    store = Store(place)
    chosen, run = choose(place, store, suite, run_id)
    wanted = chosen_tasks(task_names or (OOD,), chosen)
    rows: list[Row] = []
    if OOD in wanted or published:
        rows = rows_of(store, chosen, run=run, models=models, scorers=scorers, intervals=intervals)
        if not rows:
            check_filters(store, chosen, run, models, scorers)
    if published:
        if not chosen.published:
            raise RequestError(f"suite {chosen.name} carries no published figures, so there is nothing to compare with")
        show("published", [one.item() for one in compare(chosen, rows)], COLUMNS, as_json=as_json)
        return
    if seeds or by:
        rows = aggregate_seeds(rows)
    if by:
        rows = by_family(rows)
    asked = Asked(store, chosen, run, models, scorers)
    tasks = {name: get_task(name) for name in wanted if name != OOD}
    if figure_file is not None:
        if len(tasks) != 1:
            raise RequestError(f"--figure draws one task; name it with --task, got {', '.join(wanted)}")
        write_bytes(figure_file, figure(next(iter(tasks.values())), asked).encode())
        click.echo(str(figure_file))
        return
    if as_json:
        found = {name: task.document(task.rows(asked), task.details(asked)) for name, task in tasks.items()}
        print_json({"schema": 1, "rows": [_item(row) for row in rows], **({"tasks": found} if found else {})})
        return
    orientation: FprOrientation = "ood_positive" if (fpr or chosen.fpr) == "ood_positive" else "id_positive"
    if OOD in wanted:
        click.echo(render(rows, fmt=fmt, fpr=orientation, metrics=metrics or ("auroc", "fpr95"), detail=detail))
    for task in tasks.values():
        click.echo(render_task(task, task.rows(asked), fmt=fmt, detail=bool(detail)))


def _item(row: Row) -> dict[str, object]:
    """A row under the leaderboard's column names, with its intervals where they were asked for."""
    intervals = {metric: asdict(interval) for metric, interval in row.intervals}
    return {**row.columns(), **({"intervals": intervals} if intervals else {})}


def check_filters(
    store: Store, suite: Suite, run: Run | None, models: tuple[str, ...], scorers: tuple[str, ...]
) -> None:
    """Raise RequestError naming a --model or --scorer that nothing stored has."""
    lines = select(store, suite, run, (), ())
    for what, asked, known in (
        ("model", models, {line.model for line in lines}),
        ("scorer", scorers, {name for line in lines for name in (line.scorer, line.spec)}),
    ):
        for name in asked:
            if name not in known:
                raise unknown(f"{what} with results of suite {suite.name}", name, known)


def choose(place: Home, store: Store, suite: str | None, run_id: str | None) -> tuple[Suite, Run | None]:
    """The suite that is meant, and the run where one is named."""
    if run_id is not None:
        run = store.run(run_id)
        return load_suite(suite or run.suite, place), run
    if suite is not None:
        return load_suite(suite, place), None
    latest = next(iter(reversed(list(store.runs()))), None)
    return (load_suite(latest.suite, place) if latest else default_suite(None, place)), None
