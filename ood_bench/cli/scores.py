"""`ood-bench scores`: single samples and what one scorer makes of them. Needs no torch."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict, fields

import click
import numpy as np

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.cli.table import choose
from ood_bench.cli.tables import show
from ood_bench.errors import RequestError
from ood_bench.home import find_home
from ood_bench.naming import unknown
from ood_bench.statistics.contenders import find_contenders
from ood_bench.store.leaderboard import cell
from ood_bench.store.samples import Sample, samples, worst
from ood_bench.store.store import Store

COLUMNS = tuple(field.name for field in fields(Sample))


@click.command()
@click.option("--scorer", required=True, metavar="SPEC", help="Whose scores, by name or spec.")
@click.option("--set", "set_name", required=True, metavar="NAME", help="Of which set of the suite.")
@click.option("--suite", metavar="NAME", help="Which suite. [default: that of the latest run]")
@click.option("--model", metavar="NAME", help="Which backbone, where there are several.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where there are several.")
@click.option("--worst", "count", type=click.IntRange(min=1), metavar="N", help="The N samples hardest to tell.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@HOME
@JSON
def scores(
    scorer: str,
    set_name: str,
    suite: str | None,
    model: str | None,
    model_seed: int | None,
    count: int | None,
    as_csv: bool,
    home: str | None,
    as_json: bool,
) -> None:
    """Id, predicted class and score of the samples of one set, in its order or the worst first.

    Worst are the highest scores of an OOD set, and the lowest of an ID set. `percentile` is the share of ID test samples
    that score lower.
    """
    place = find_home(home)
    store = Store(place)
    chosen, _ = choose(place, store, suite, None)
    (contender,) = find_contenders(store, chosen, [scorer], [model] if model else [])
    checkpoints = [at for at in contender.records if model_seed in (None, at.model_seed)]
    if len(checkpoints) != 1:
        there = ", ".join(map(str, checkpoints or contender.records))
        raise RequestError(f"scores are shown of one checkpoint; say which with --model and --model-seed: {there}")
    records = contender.records[checkpoints[0]]
    if set_name not in records:
        raise unknown(f"set with scores of {contender.name}", set_name, records)
    if chosen.test not in records:
        raise RequestError(f"{contender.name} has no scores of the ID test set {chosen.test}; run it again")
    record = records[set_name]
    is_id = set_name == chosen.test or any(set_name in sets for sets in chosen.shifted.values())
    rows = np.arange(record.n) if count is None else worst(store, record, count, is_id=is_id)
    found = samples(store, record, records[str(chosen.test)], rows)
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_cell(value) for value in asdict(one).values()] for one in found)
        return
    items = [asdict(one) for one in found]
    if as_json:
        print_json({"schema": 1, "scorer": contender.name, "checkpoint": str(checkpoints[0]), "samples": items})
        return
    for item in items:
        item["score"], item["percentile"] = f"{item['score']:.6g}", f"{100 * item['percentile']:.2f} %"
    show("samples", items, COLUMNS, as_json=False)


def _cell(value: str | int | float | None) -> str:
    return repr(value) if isinstance(value, float) else cell(value)
