"""`ood-bench recommend`: which scorer for this backbone. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict

import click

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.cli.table import choose
from ood_bench.cli.tables import show
from ood_bench.home import find_home
from ood_bench.statistics.families import family_of
from ood_bench.statistics.recommendation import recommend as recommendation
from ood_bench.store.store import Store


@click.command()
@click.option("--model", required=True, metavar="NAME", help="The backbone; one without results is judged by others.")
@click.option("--suite", metavar="NAME", help="By which suite's results. [default: that of the latest run]")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, metavar="N")
@HOME
@JSON
def recommend(model: str, suite: str | None, top: int, home: str | None, as_json: bool) -> None:
    """The scorers with the best mean AUROC over a suite's OOD sets for this backbone, and which of them are as good.

    Where the backbone has no results, those of its architecture family are used, else those of all backbones. Intervals
    and tests are of samples, by a paired bootstrap: they say nothing about other sets or checkpoints.
    """
    place = find_home(home)
    store = Store(place)
    chosen, _ = choose(place, store, suite, None)
    found = recommendation(store, chosen, model, top=top)
    if as_json:
        print_json({"schema": 1, **asdict(found), "as_good": list(found.as_good)})
        return
    basis = {
        "own": f"its own results ({', '.join(found.checkpoints)})",
        "family": f"other backbones of its family, {family_of(model)} ({', '.join(found.checkpoints)})",
        "all": f"all backbones, as none of its family has results ({', '.join(found.checkpoints)})",
    }[found.basis]
    click.echo(f"{model} on {found.suite}, by {basis}")
    click.echo(f"n = {found.n_id} ID and {found.n_ood} OOD samples in {len(found.sets)} sets; mean AUROC, in percent\n")
    items = [
        {
            "scorer": one.scorer,
            "AUROC": f"{100 * one.auroc:.2f}",
            "interval": f"[{100 * one.low:.2f}, {100 * one.high:.2f}]",
            "worst set": f"{one.worst_set} {100 * one.worst_auroc:.2f}",
            "p against the first": "" if one.p_value is None else f"{one.p_value:.3f}",
        }
        for one in found.scorers
    ]
    show("scorers", items, ("scorer", "AUROC", "interval", "worst set", "p against the first"), as_json=False)
    first = found.scorers[0].scorer
    same = f"; not told apart from it: {', '.join(found.as_good)}" if found.as_good else ""
    click.echo(f"\nRecommended: {first}{same}. Best of many is a little flattered: check it on data of your own.")
