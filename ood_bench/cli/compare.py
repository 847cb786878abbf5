"""`ood-bench compare`: scorers against each other on the same samples. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.cli.table import choose
from ood_bench.cli.tables import show
from ood_bench.files import write_bytes
from ood_bench.home import find_home
from ood_bench.statistics.comparison import LOWER_IS_BETTER, Comparison, Difference
from ood_bench.statistics.comparison import compare as compare_contenders
from ood_bench.statistics.contenders import ALL, find_contenders
from ood_bench.statistics.diagram import as_svg, as_text
from ood_bench.store.row import METRICS
from ood_bench.store.store import Store

SHOWN = ("checkpoint", "group", "set", "n ID + OOD", "first", "second", "difference", "interval", "p (Holm)", "outcome")


@click.command()
@click.argument("scorers", nargs=-1, required=True, metavar="A B [C]...")
@click.option("--suite", metavar="NAME", help="Which suite. [default: that of the latest run]")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Only these models.")
@click.option("--metric", type=click.Choice([*METRICS, "fpr95"]), default="auroc", show_default=True)
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True)
@click.option("--resamples", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write the critical-difference diagram.")
@HOME
@JSON
def compare(
    scorers: tuple[str, ...],
    suite: str | None,
    models: tuple[str, ...],
    metric: str,
    level: float,
    resamples: int,
    seed: int,
    svg: Path | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Compare stored scorers, by name or spec, on the samples that they have in common.

    A is tested against each other scorer on every set and checkpoint (AUROC after DeLong, else a paired bootstrap; wins
    and losses after Holm's correction). All are ranked, with a critical-difference diagram and each one's worst
    backbone. The word `all` ranks everything that is stored, without tests of pairs.
    """
    place = find_home(home)
    store = Store(place)
    chosen, _ = choose(place, store, suite, None)
    found = compare_contenders(
        store,
        chosen,
        find_contenders(store, chosen, scorers, models),
        metric=f"fpr95_{chosen.fpr}" if metric == "fpr95" else metric,
        level=level,
        resamples=resamples,
        seed=seed,
        complete=ALL in scorers,
    )
    if svg is not None:
        write_bytes(svg, as_svg(found.ranks).encode())
    if as_json:
        print_json(document(found))
    else:
        _print(found)


def document(found: Comparison) -> dict[str, object]:
    """What --json prints."""
    differences = [{**asdict(one), "checkpoint": str(one.checkpoint)} for one in found.differences]
    return {
        "schema": 1,
        "suite": found.suite,
        "metric": found.metric,
        "level": found.level,
        "differences": differences,
        "tallies": [
            dict(zip(("first", "second", "wins", "ties", "losses"), tally, strict=True)) for tally in found.tallies
        ],
        "ranks": asdict(found.ranks),
        "worst": [{**asdict(one), "checkpoint": str(one.checkpoint)} for one in found.worst],
        "left_out": list(found.left_out),
    }


def _print(found: Comparison) -> None:
    click.echo(f"{found.suite}: {found.metric}, in percent")
    for first, second, wins, ties, losses in found.tallies:
        of_pair = [one for one in found.differences if one.second == second]
        click.echo(f"\n{first} against {second}: {wins} won, {ties} tied, {losses} lost")
        show("differences", _items(of_pair), SHOWN, as_json=False)
    if found.differences:
        click.echo(
            f"\nIntervals of {100 * found.level:g} % are of the difference first - second; "
            "won and lost: p after Holm's correction over all sets and checkpoints of the pair."
        )
    click.echo("\n" + as_text(found.ranks))
    click.echo()
    worst = [
        {"scorer": one.name, "mean": _percent(one.mean), "worst backbone": f"{one.checkpoint} {_percent(one.value)}"}
        for one in sorted(found.worst, key=lambda one: one.mean, reverse=found.metric not in LOWER_IS_BETTER)
    ]
    show("scorers", worst, ("scorer", "mean", "worst backbone"), as_json=False)
    for reason in found.left_out:
        click.echo(f"left out: {reason}")


def _items(differences: Sequence[Difference]) -> list[dict[str, object]]:
    return [
        {
            "checkpoint": str(one.checkpoint),
            "group": one.group,
            "set": one.set,
            "n ID + OOD": f"{one.n_id} + {one.n_ood}",
            "first": _percent(one.first_value),
            "second": _percent(one.second_value),
            "difference": f"{100 * one.difference:+.2f}",
            "interval": f"[{100 * one.low:+.2f}, {100 * one.high:+.2f}]",
            "p (Holm)": "" if one.p_holm is None else f"{one.p_holm:.2g}",
            "outcome": one.outcome or "",
        }
        for one in differences
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
