"""`ood-bench import-scores`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.errors import RequestError
from ood_bench.home import find_home
from ood_bench.importing.score_records import Request
from ood_bench.importing.score_records import import_scores as import_file


@click.command("import-scores")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--suite", required=True, metavar="NAME", help="Whose sets they are; made from the file if there is none."
)
@click.option("--model", required=True, metavar="NAME", help="The backbone.")
@click.option("--scorer", required=True, metavar="NAME", help="What to call the method.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where a model has several.")
@click.option("--negate", is_flag=True, help="Higher scores mean more out-of-distribution in this file.")
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="A hyper-parameter of the method.")
@click.option("--rename", "renames", multiple=True, metavar="THEIRS=OURS", help="A set's name in the file, and here.")
@HOME
@JSON
def import_scores(
    file: Path,
    suite: str,
    model: str,
    scorer: str,
    model_seed: int | None,
    negate: bool,
    params: tuple[str, ...],
    renames: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> None:
    """Per-sample scores from anywhere, into the same tables as ours, marked as imported.

    FILE is OpenOOD's scores/*.pkl (nothing in it can run), .npz, .pt or .safetensors with arrays such as test__conf and
    SET__conf (and __pred, __label, __ids), or a .csv or .parquet table with the columns set and score (and id,
    predicted, label, group). Higher must mean more in-distribution, else --negate.
    """
    request = Request(
        suite=suite,
        model=model,
        scorer=scorer,
        model_seed=model_seed,
        negate=negate,
        params={key: _value(value) for key, value in _pairs(params, "--param")},
        rename=dict(_pairs(renames, "--rename")),
    )
    done = import_file(find_home(home), file, request)
    if as_json:
        print_json(
            {
                "schema": 1,
                "suite": done.suite.name,
                "run": done.run.id,
                "sets": dict(done.sets),
                "left_aside": list(done.aside),
                "notes": list(done.notes),
            }
        )
        return
    for name, rows in done.sets.items():
        click.echo(f"{done.suite.role_of(name):>8}  {name}: {rows} scores")
    for name in done.aside:
        click.echo(f"left aside: {name}")
    for note in done.notes:
        click.echo(note)
    made = f"suite {suite} was made. " if done.suite_is_new else ""
    click.echo(f"{made}Next: ood-bench table --suite {suite} --model {model}")


def _pairs(texts: Sequence[str], flag: str) -> list[tuple[str, str]]:
    for text in texts:
        if "=" not in text:
            raise RequestError(f"{flag} should be given as NAME=VALUE, got {text!r}")
    return [(text.partition("=")[0], text.partition("=")[2]) for text in texts]


def _value(text: str) -> object:
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text
