"""`ood-bench tune`."""

from __future__ import annotations

from pathlib import Path

import click

from ood_bench.cli.options import HOME, JSON, Bytes, print_json
from ood_bench.cli.tuning_curve import as_svg, as_text
from ood_bench.errors import RequestError
from ood_bench.files import write_bytes
from ood_bench.registry import load_all, load_plugin
from ood_bench.render.table import render
from ood_bench.tuning import Tuned, parse_grid
from ood_bench.tuning import tune as tune_scorers


@click.command()
@click.option("--scorer", "scorers", multiple=True, required=True, metavar="SPEC", help="What to tune; repeat.")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="NAME=V,V,...",
    help="Values of a parameter; repeat for combinations. Or: openood, the grids that OpenOOD v1.5 searches.",
)
@click.option("--suite", metavar="NAME", help="Which suite. [default: the model's own]")
@click.option("--model", metavar="NAME", help="Which backbone.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where a model has several.")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="A file with scorers of your own. It is executed: run only code that you trust.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--memory", type=Bytes(), metavar="SIZE", help="How much to use, e.g. 2GiB.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw the curves.")
@HOME
@JSON
def tune(
    scorers: tuple[str, ...],
    grids: tuple[str, ...],
    suite: str | None,
    model: str | None,
    model_seed: int | None,
    plugins: tuple[Path, ...],
    device: str,
    memory: int | None,
    plot: Path | None,
    home: str | None,
    as_json: bool,
) -> int:
    """Choose hyper-parameters on the suite's ID validation set against its OOD validation set.

    All values share the work that they have in common. The test sets are scored too, for the whole curve, and never
    chosen on: the best value on them is shown as the oracle, which is not a result.
    """
    load_all()
    for plugin in plugins:
        load_plugin(plugin)
    if plot is not None and plot.suffix.lower() != ".svg":
        raise RequestError(f"--plot writes SVG, so its file should end in .svg, got {plot}")
    done = tune_scorers(
        list(scorers),
        parse_grid(grids),
        suite=suite,
        model=model,
        model_seed=model_seed,
        device=device,
        memory=memory,
        home=home,
    )
    if plot is not None:
        write_bytes(plot, as_svg(done.tunings).encode())
    if as_json:
        print_json(document(done))
    else:
        for tuning in done.tunings:
            click.echo(as_text(tuning))
        click.echo(render(done.rows, fmt="text", fpr=done.suite.fpr))
    return int(any(tuning.selected is None for tuning in done.tunings))


def document(done: Tuned) -> dict[str, object]:
    """What --json prints: the curves, and rows of the defaults and the selected values."""
    return {
        "schema": 1,
        "suite": done.suite.name,
        "model": done.run.model,
        "run": done.run.id,
        "tunings": [tuning.to_json() for tuning in done.tunings],
        "rows": [row.columns() for row in done.rows],
    }
