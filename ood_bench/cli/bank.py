"""`ood-bench bank`: look after banks."""

from __future__ import annotations

import click

from ood_bench.bank.catalog import find_banks, find_interrupted, remove
from ood_bench.bank.verify import verify as problems_of
from ood_bench.cli.options import HOME
from ood_bench.errors import RequestError
from ood_bench.home import find_home


@click.group()
def bank() -> None:
    """Verify or remove banks."""


@bank.command()
@click.option("--model", metavar="NAME", help="Only banks of this model.")
@click.option("--set", "set_name", metavar="NAME", help="Only banks of this set.")
@HOME
def verify(model: str | None, set_name: str | None, home: str | None) -> int:
    """Check every shard's hash, the ids and the counts. Exit code 1 where something is wrong."""
    place = find_home(home)
    chosen = [
        (folder, manifest.identity)
        for folder, manifest in find_banks(place)
        if model in (None, manifest.identity.model) and set_name in (None, manifest.identity.set)
    ]
    if not chosen:
        raise RequestError(f"no such bank in {place.root}; ood-bench list banks shows those there are")
    bad = 0
    for folder, identity in chosen:
        found = problems_of(folder)
        bad += bool(found)
        click.echo(f"{identity.model} on {identity.set}: {'whole' if not found else '; '.join(found)}")
    return int(bad > 0)


@bank.command()
@click.argument("model")
@click.argument("set_name", metavar="SET")
@click.option("--yes", is_flag=True, help="Do not ask.")
@HOME
def rm(model: str, set_name: str, yes: bool, home: str | None) -> None:
    """Remove the bank of MODEL on SET. Scores that were computed from it stay."""
    place = find_home(home)
    whole = [folder for folder, one in find_banks(place) if (one.identity.model, one.identity.set) == (model, set_name)]
    begun = [folder for folder in find_interrupted(place) if folder.name.startswith(f"{set_name}@")]
    if not whole + begun:
        raise RequestError(
            f"no bank of {model} on {set_name} in {place.root}; ood-bench list banks shows those there are"
        )
    for folder in whole + begun:
        if yes or click.confirm(f"Remove {folder}?"):
            remove(folder)
            click.echo(f"removed {folder}")
