"""`ood-bench list scorers` and `list estimators`."""

from __future__ import annotations

from pathlib import Path

import click

from ood_bench.cli.options import JSON
from ood_bench.cli.tables import show
from ood_bench.not_cacheable import BRING, NOT_CACHEABLE
from ood_bench.registry import ESTIMATORS, SCORERS, Entry, load_all, load_plugin

PLUGIN = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Include a file of your own. It is executed: run only code that you trust.",
)
COLUMNS = ("name", "kind", "family", "needs", "params", "paper")


@click.command()
@PLUGIN
@click.option("--all", "with_absent", is_flag=True, help="Also what a cache cannot answer, with the reason.")
@JSON
def scorers(plugins: tuple[Path, ...], with_absent: bool, as_json: bool) -> None:
    """Scorers and rectifiers: what each needs, its parameters with defaults, and where it comes from."""
    load_all()
    for plugin in plugins:
        load_plugin(plugin)
    entries = [SCORERS.entries[name] for name in SCORERS.names()]
    rows = [describe(entry, as_json) for entry in entries]
    absent: list[dict[str, object]] = [
        {"name": one.name, "paper": one.paper, "status": "not cacheable", "reason": f"it {one.reason}; {BRING}"}
        for one in NOT_CACHEABLE.values()
    ]
    if not with_absent:
        show("scorers", rows, COLUMNS, as_json=as_json)
    elif as_json:
        show("scorers", [{**row, "status": "ready"} for row in rows] + absent, COLUMNS, as_json=True)
    else:
        show("scorers", rows, COLUMNS, as_json=False)
        show("scorers that a cache cannot answer", absent, ("name", "status", "reason", "paper"), as_json=False)


@click.command()
@JSON
def estimators(as_json: bool) -> None:
    """Estimators: one number for a whole set, its predicted accuracy."""
    load_all()
    entries = [ESTIMATORS.entries[name] for name in ESTIMATORS.names()]
    show("estimators", [describe(entry, as_json) for entry in entries], COLUMNS, as_json=as_json)


def describe(entry: Entry, as_json: bool) -> dict[str, object]:
    """What a listing says of one method."""
    params: object
    if as_json:
        params = [
            {"name": one.name, "default": one.default, "takes": one.describe(), "required": one.required}
            for one in entry.parameters
        ]
    else:
        params = ", ".join(f"{one.name}={_text(one.default)}" for one in entry.parameters)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "aliases": list(entry.aliases),
        "family": entry.family,
        "needs": list(entry.needs),
        "assumes": list(entry.assumes),
        "paper": entry.paper,
        "params": params,
        "version": entry.version,
        "origin": entry.origin,
        "summary": entry.summary,
    }


def _text(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
