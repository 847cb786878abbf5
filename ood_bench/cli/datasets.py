"""`ood-bench datasets`: which images are there, and how to get the others."""

from __future__ import annotations

from pathlib import Path

import click

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.cli.tables import show
from ood_bench.errors import RequestError
from ood_bench.extraction.locate import Place
from ood_bench.extraction.status import State, build_list, find_set, get, state_of
from ood_bench.home import Home, find_home
from ood_bench.suites import SetSpec, list_suites, load_suite

DATA_ROOT = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Where the images are, or should be.",
)
SUITES = click.option(
    "--suite", "suites", multiple=True, metavar="NAME", help="All sets of a suite; repeat for several."
)


@click.group()
def datasets() -> None:
    """Say which images are there, fetch those that can be fetched, draw the lists that are made by a rule."""


@datasets.command()
@click.argument("names", nargs=-1, metavar="[SET]...")
@SUITES
@DATA_ROOT
@HOME
@JSON
def status(names: tuple[str, ...], suites: tuple[str, ...], data_root: Path, home: str | None, as_json: bool) -> int:
    """Say of each set what is there, what is missing, and how to get it. Exit code 1 where something is missing."""
    place = Place(data_root, find_home(home))
    states = [state_of(spec, place) for spec in _specs(names, suites, place.home)]
    if as_json:
        print_json({"schema": 1, "sets": [_item(state) for state in states], "bytes": _bytes(states)})
    else:
        show("sets", [_line(state) for state in states], ("set", "images", "expected", "state", "next"), as_json=False)
        if size := _bytes(states):
            click.echo(f"to download: {size / 2**30:.2f} GiB, and what has no size above")
    return int(not all(state.ready for state in states))


@datasets.command("get")
@click.argument("names", nargs=-1, metavar="[SET]...")
@SUITES
@DATA_ROOT
@HOME
def get_(names: tuple[str, ...], suites: tuple[str, ...], data_root: Path, home: str | None) -> int:
    """Fetch what can be fetched freely, and say what must be done by hand for the rest. Goes on where it was cut off.

    Exit code 1 where something is left to do by hand.
    """
    data_root.mkdir(parents=True, exist_ok=True)
    place = Place(data_root, find_home(home))
    done = [
        get(spec, place, click.echo) for spec in _specs(names, suites, place.home) if not state_of(spec, place).ready
    ]
    return int(not all(done))


@datasets.command()
@click.argument("names", nargs=-1, metavar="[SET]...")
@SUITES
@DATA_ROOT
@HOME
def build(names: tuple[str, ...], suites: tuple[str, ...], data_root: Path, home: str | None) -> None:
    """Draw the lists that are made by a rule, such as 200 images of each class, and keep them in the home."""
    place = Place(data_root, find_home(home))
    specs = [spec for spec in _specs(names, suites, place.home) if names or spec.per_class is not None]
    if not specs:
        raise RequestError("nothing to build: no list of these suites is drawn by a rule")
    for spec in specs:
        build_list(spec, place, click.echo)


def _specs(names: tuple[str, ...], suites: tuple[str, ...], home: Home) -> list[SetSpec]:
    """The sets that are named, those of the named suites, or all that say where their images are."""
    if not names and not suites:
        every = [spec for suite in list_suites(home) for spec in suite.sets.values() if spec.images]
    else:
        every = [find_set(name, home) for name in names]
        every += [spec for suite in suites for spec in load_suite(suite, home).sets.values()]
    return list({spec.name: spec for spec in every}.values())


def _item(state: State) -> dict[str, object]:
    return {
        "set": state.set,
        "expected": state.count,
        "found": state.found,
        "ready": state.ready,
        "problem": state.problem,
        "bytes": state.bytes,
        "remedy": state.remedy or None,
    }


def _line(state: State) -> dict[str, object]:
    return {
        "set": state.set,
        "images": state.found,
        "expected": state.count,
        "state": "ready" if state.ready else state.problem,
        "next": state.remedy,
    }


def _bytes(states: list[State]) -> int:
    return sum(state.bytes or 0 for state in states)
