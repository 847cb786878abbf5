"""`ood-bench store`: look after the records."""

from __future__ import annotations

from pathlib import Path

import click

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.errors import RequestError
from ood_bench.home import Home, find_home
from ood_bench.store.integrity import DAY, check_store, find_leftovers, remove_leftovers
from ood_bench.store.store import Store
from ood_bench.store.submission import copy_records


@click.group()
def store() -> None:
    """Merge, check and tidy the store of records."""


@store.command()
@HOME
@JSON
def check(home: str | None, as_json: bool) -> int:
    """Read every record, score, outcome and run, and verify every hash. Exit code 1 where something is damaged.

    Files that a killed process left behind are listed and are no damage.
    """
    place = find_home(home)
    health = check_store(place)
    if as_json:
        print_json(
            {
                "schema": 1,
                "clean": health.is_clean,
                "records": health.records,
                "outcomes": health.outcomes,
                "runs": health.runs,
                "damaged": list(health.damaged),
                "leftovers": [str(path) for path in health.leftovers],
            }
        )
        return int(not health.is_clean)
    for problem in health.damaged:
        click.echo(problem)
    for path in health.leftovers:
        click.echo(f"left behind: {path}")
    verdict = "clean" if health.is_clean else f"{len(health.damaged)} damaged"
    click.echo(f"{place.root}: {health.records} records, {health.outcomes} outcomes, {health.runs} runs: {verdict}")
    if health.leftovers:
        click.echo(
            f"{len(health.leftovers)} files left behind by interrupted processes; ood-bench store gc removes them"
        )
    return int(not health.is_clean)


@store.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@HOME
def merge(sources: tuple[Path, ...], home: str | None) -> None:
    """Copy records with their scores, outcomes and runs from the homes SOURCES into this one.

    The same key again must have the same scores. Nothing is removed, and a source is only read.
    """
    target = Store(find_home(home))
    for path in sources:
        source = Home(path.expanduser().resolve())
        if not source.records.is_dir():
            raise RequestError(f"{path} should be a home with records, but has no folder {source.records.name}")
        new, same = copy_records(Store(source), target)
        runs = [run for run in Store(source).runs() if run.id not in {there.id for there in target.runs()}]
        for run in runs:
            target.put_run(run)
        click.echo(f"{path}: {new} new records, {same} there already, {len(runs)} new runs")


@store.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Leave younger files: a process may be writing them.",
)
@HOME
def gc(dry_run: bool, older_than: float, home: str | None) -> None:
    """Remove what nothing points at: unfinished files, and scores without a record. Records are never removed."""
    found = find_leftovers(find_home(home), older_than=older_than * DAY / 24)
    for path in found:
        click.echo(f"{'would remove' if dry_run else 'removes'} {path}")
    size = sum(path.stat().st_size for path in found) if dry_run else remove_leftovers(found)
    click.echo(f"{len(found)} files, {size / 2**20:.1f} MiB{' (nothing was removed)' if dry_run else ''}")
