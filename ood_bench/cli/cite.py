"""`ood-bench cite`: BibTeX of what was run."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

import click

from ood_bench.cli.options import HOME
from ood_bench.cli.table import choose
from ood_bench.errors import RequestError
from ood_bench.home import find_home
from ood_bench.registry import SCORERS, load_all
from ood_bench.statistics.citations import bibtex
from ood_bench.store.selection import select
from ood_bench.store.store import Store


@click.command()
@click.option("--suite", metavar="NAME", help="Which suite. [default: that of the latest run]")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only what was run on these models.")
@click.option("--scorer", "scorers", multiple=True, metavar="SPEC", help="Only these scorers.")
@click.option("--run", "run_id", metavar="ID", help="Only what this run answered.")
@HOME
def cite(
    suite: str | None, models: tuple[str, ...], scorers: tuple[str, ...], run_id: str | None, home: str | None
) -> None:
    """BibTeX for the scorers that have results on a suite, for the suite, and for this program.

    Entries hold surnames, venue, year and arXiv number; complete them with titles from there.
    """
    load_all()
    place = find_home(home)
    store = Store(place)
    chosen, run = choose(place, store, suite, run_id)
    lines = [line for line in select(store, chosen, run, models, scorers) if line.records]
    if not lines:
        raise RequestError(f"nothing that was run on suite {chosen.name} matches; see ood-bench list runs")
    references = {f"scorer {name}": _papers(name) for name in _names(line.scorer for line in lines)}
    if chosen.paper:
        references[f"suite {chosen.name}"] = [chosen.paper]
    click.echo(bibtex(references), nl=False)
    click.echo(f"\n% computed with ood-bench {version('ood-bench')}")


def _names(scorers: Iterable[str]) -> list[str]:
    """The methods in compositions, each once."""
    return sorted({name for scorer in scorers for name in scorer.split("+")})


def _papers(name: str) -> list[str]:
    entry = SCORERS.entries.get(SCORERS.aliases.get(name, name))
    return [entry.paper] if entry is not None and entry.paper else []
