"""`ood-bench site`: what is stored, as a page to look at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ood_bench.cli.options import HOME
from ood_bench.errors import RequestError
from ood_bench.files import write_bytes
from ood_bench.home import find_home
from ood_bench.site.collecting import Collector, Wanted
from ood_bench.site.page import to_page
from ood_bench.store.store import Store
from ood_bench.suites import list_suites, load_suite


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False), metavar="OUT")
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="Only these suites. [default: all with results]")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only these models.")
@click.option("--scorer", "scorers", multiple=True, metavar="SPEC", help="Only these scorers.")
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="ood, selective, ...; repeat. [default: all]")
@click.option("--intervals", is_flag=True, help="Add 95 % confidence intervals; they cost seconds the first time.")
@click.option("--title", default="OOD benchmark", show_default=True, help="What the page is called.")
@HOME
def site(
    out: Path,
    suites: tuple[str, ...],
    models: tuple[str, ...],
    scorers: tuple[str, ...],
    tasks: tuple[str, ...],
    intervals: bool,
    title: str,
    home: str | None,
) -> None:
    """Write OUT/index.html: one file without a server or network, to open, send or publish.

    A leaderboard to sort and filter, a heat map of scorers and backbones, each scorer's histograms, ROC, risk-coverage and
    parameter curves, and the records behind every number.
    """
    place = find_home(home)
    store = Store(place)
    collector = Collector(store, Wanted(models, scorers, tasks, intervals))
    if suites:
        for name in suites:
            if not collector.add(load_suite(name, place)):
                raise RequestError(f"nothing is stored for suite {name}; run it first: ood-bench run --suite {name}")
    else:
        ran = {run.suite for run in store.runs()}
        for suite in list_suites(place):
            if suite.name in ran or suite.origin == "home":
                collector.add(suite)
    document = collector.document(title, datetime.now(UTC).isoformat(timespec="minutes"))
    page = to_page(document).encode()
    write_bytes(out / "index.html", page)
    click.echo(
        f"{out / 'index.html'}: {len(page) / 1024:.0f} KiB, {', '.join(str(s['name']) for s in collector.suites)}"
    )
