"""`ood-bench list models|suites|sets|banks|runs`: read from files, without torch."""

from __future__ import annotations

import click

from ood_bench.backbones.presets import presets
from ood_bench.bank.catalog import find_banks, find_interrupted, size_in_bytes
from ood_bench.cli.options import HOME, JSON
from ood_bench.cli.tables import show
from ood_bench.home import Home, find_home
from ood_bench.store.records import Run
from ood_bench.store.store import Store
from ood_bench.suites import list_suites


@click.command()
@HOME
@JSON
def models(home: str | None, as_json: bool) -> None:
    """Presets, models that suites name, and models that banks exist for."""
    place = find_home(home)
    suites = list_suites(place)
    with_banks: dict[str, set[str]] = {}
    for _, manifest in find_banks(place):
        with_banks.setdefault(manifest.identity.model, set()).add(manifest.identity.set)
    shipped = presets()
    known = sorted({name for suite in suites for name in suite.models} | set(with_banks) | set(shipped))
    items = [
        {
            "name": name,
            "title": shipped[name].title if name in shipped else None,
            "suites": [suite.name for suite in suites if name in suite.models],
            "banks": len(with_banks.get(name, ())),
        }
        for name in known
    ]
    show("models", items, ("name", "title", "suites", "banks"), as_json=as_json)


@click.command()
@HOME
@JSON
def suites(home: str | None, as_json: bool) -> None:
    """Shipped suites and your own."""
    items = [
        {
            "name": suite.name,
            "title": suite.title,
            "origin": suite.origin,
            "models": list(suite.models),
            "fit": suite.fit,
            "val": suite.val,
            "test": suite.test,
            "groups": {group: list(sets) for group, sets in suite.groups.items()},
            "shifted": {family: list(sets) for family, sets in suite.shifted.items()},
            "sets": len(suite.sets),
            "fpr": suite.fpr,
            "paper": suite.paper,
        }
        for suite in list_suites(find_home(home))
    ]
    show("suites", items, ("name", "title", "origin", "models", "sets", "fpr", "paper"), as_json=as_json)


@click.command()
@HOME
@JSON
def sets(home: str | None, as_json: bool) -> None:
    """Every set of every suite, with its role there."""
    items = [
        {
            "name": name,
            "suite": suite.name,
            "role": role,
            "count": suite.sets[name].count,
            "licence": suite.sets[name].licence or None,
            "source": suite.sets[name].source or None,
        }
        for suite in list_suites(find_home(home))
        for role, name in suite.members
    ]
    show("sets", items, ("name", "suite", "role", "count", "licence", "source"), as_json=as_json)


@click.command()
@HOME
@JSON
def banks(home: str | None, as_json: bool) -> None:
    """Banks with their sizes. An interrupted one is finished by the command that began it."""
    place = find_home(home)
    show("banks", _banks(place), ("name", "set", "rows", "d", "K", "size", "state", "bank"), as_json=as_json)


def _banks(place: Home) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    for folder, manifest in find_banks(place):
        identity = manifest.identity
        items.append(
            {
                "name": identity.model + ("" if identity.model_seed is None else f"@{identity.model_seed}"),
                "set": identity.set,
                "rows": manifest.n,
                "d": manifest.n_features,
                "K": manifest.n_classes,
                "bytes": size_in_bytes(folder),
                "size": f"{size_in_bytes(folder) / 2**20:.1f} MiB",
                "state": "whole",
                "bank": manifest.bank_sha256[:12],
                "bank_sha256": manifest.bank_sha256,
                "folder": str(folder),
            }
        )
    for folder in find_interrupted(place):
        size = size_in_bytes(folder)
        items.append(
            {
                "name": folder.parent.name,
                "set": folder.name,
                "bytes": size,
                "size": f"{size / 2**20:.1f} MiB",
                "state": "interrupted",
                "folder": str(folder),
            }
        )
    return items


@click.command()
@click.option("--suite", metavar="NAME", help="Only runs of this suite.")
@click.option("--model", metavar="NAME", help="Only runs of this model.")
@click.option("--scorer", metavar="NAME", help="Only runs that were asked for this scorer, by name or spec.")
@click.option("--since", metavar="DATE", help="Only runs since then, such as 2026-01-31.")
@click.option("--failed", is_flag=True, help="Only runs in which something failed.")
@HOME
@JSON
def runs(
    suite: str | None,
    model: str | None,
    scorer: str | None,
    since: str | None,
    failed: bool,
    home: str | None,
    as_json: bool,
) -> None:
    """Runs, the newest last."""
    store = Store(find_home(home))
    items = [
        {
            "name": run.id,
            "time": run.time,
            "suite": run.suite,
            "model": run.model + ("" if run.model_seed is None else f"@{run.model_seed}"),
            "scores": len(run.records),
            "skipped": len(run.skipped),
            "failed": len(run.failed),
        }
        for run in store.runs()
        if suite in (None, run.suite)
        and model in (None, run.model)
        and (since is None or run.time >= since)
        and (run.failed or not failed)
        and (scorer is None or _concerns(store, run, scorer))
    ]
    show("runs", items, ("name", "time", "suite", "model", "scores", "skipped", "failed"), as_json=as_json)


def _concerns(store: Store, run: Run, scorer: str) -> bool:
    """Whether the run scored, skipped or failed at a scorer of that name or spec."""
    named = {entry.scorer for entry in (*run.skipped, *run.failed)}
    found = (store.get(key) for key in run.records)
    return scorer in named or any(record is not None and scorer in (record.spec, record.key.scorer) for record in found)
