"""`ood-bench check-scorer`: the contract suite on a user's own file."""

from __future__ import annotations

from pathlib import Path

import click

from ood_bench.contract import check
from ood_bench.registry import load_all, load_plugin


@click.command("check-scorer")
@click.argument("file", type=click.Path(path_type=Path))
def check_scorer(file: Path) -> int:
    """Run the contract suite on every scorer in FILE and say what holds and what does not.

    FILE is executed: check only code that you trust. Exit code 1 where a scorer breaks the contract.
    """
    load_all()
    broken = 0
    for entry in load_plugin(file):
        if entry.kind == "estimator":
            continue
        click.echo(f"{entry.name} ({entry.cls.__qualname__}):")
        for verdict in check(entry.name):
            mark = {"holds": "ok  ", "refuses": "ok  ", "broken": "FAIL"}[verdict.status]
            click.echo(f"  {mark} {verdict.rule}{': ' + verdict.detail if verdict.detail else ''}")
            broken += verdict.status == "broken"
    click.echo("verdict: " + ("the contract holds" if not broken else f"{broken} rule(s) broken"))
    return int(broken > 0)
