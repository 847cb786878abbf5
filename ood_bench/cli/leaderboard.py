"""`ood-bench leaderboard`: results as CSV with the records they rest on. Needs no torch."""

from __future__ import annotations

from pathlib import Path

import click

from ood_bench.cli.options import HOME
from ood_bench.cli.table import choose
from ood_bench.home import find_home
from ood_bench.store import leaderboard as files
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store


@click.group()
def leaderboard() -> None:
    """Publish results as CSV with their records."""


@leaderboard.command()
@click.option("--suite", metavar="NAME", help="Which suite. [default: that of the latest run]")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only these models.")
@click.option("--run", "run_id", metavar="ID", help="Only what this run answered.")
@click.option("--out", type=click.Path(path_type=Path), default="leaderboards", show_default=True, metavar="DIR")
@click.option("--plugins", is_flag=True, help="Include rows of plug-ins, which others cannot run.")
@HOME
def export(
    suite: str | None, models: tuple[str, ...], run_id: str | None, out: Path, plugins: bool, home: str | None
) -> None:
    """Write DIR/<suite>.csv (shares in [0, 1]) and DIR/<suite>.records.jsonl (full precision and hashes)."""
    place = find_home(home)
    store = Store(place)
    chosen, run = choose(place, store, suite, run_id)
    for path in files.export(rows_of(store, chosen, run=run, models=models), out, plugins=plugins):
        click.echo(str(path))
