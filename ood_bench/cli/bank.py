"""`ood-bench bank`: look after banks."""

from __future__ import annotations

from pathlib import Path

import click

from ood_bench.bank.catalog import find_bank, find_banks, find_interrupted, remove
from ood_bench.bank.difference import difference
from ood_bench.bank.manifest import Identity
from ood_bench.bank.reader import open_bank
from ood_bench.bank.verify import verify as problems_of
from ood_bench.cli.options import HOME
from ood_bench.errors import RequestError
from ood_bench.home import Home, find_home


@click.group()
def bank() -> None:
    """Verify or remove banks."""


@bank.command()
@click.option("--model", metavar="NAME", help="Only banks of this model.")
@click.option("--set", "set_name", metavar="NAME", help="Only banks of this set.")
@click.option(
    "--against", metavar="HOME", help="Compare with the same banks of another home, within 1e-4 of their size."
)
@HOME
def verify(model: str | None, set_name: str | None, against: str | None, home: str | None) -> int:
    """Check every shard's hash, the ids and the counts. Exit code 1 where something is wrong."""
    place = find_home(home)
    other = None if against is None else find_home(against)
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
        if other is not None and not found:
            found = _against(folder, identity, other)
        bad += bool(found)
        click.echo(f"{identity.model} on {identity.set}: {'whole' if not found else '; '.join(found)}")
    return int(bad > 0)


def _against(folder: Path, identity: Identity, other: Home) -> list[str]:
    twin = find_bank(
        other, identity.model, identity.model_seed, identity.set, identity.list_sha256, label_space=identity.label_space
    )
    if twin is None:
        return [f"{other.root} has no such bank to compare with"]
    return difference(open_bank(folder), open_bank(twin))


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
