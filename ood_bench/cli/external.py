"""`ood-bench leaderboard external`: OpenOOD's numbers beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ood_bench.cli.options import print_json
from ood_bench.cli.tables import show
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.registry import SCORERS, load_all
from ood_bench.store.external import UNVERIFIED, Beside, beside, read_openood
from ood_bench.store.leaderboard import to_csv
from ood_bench.store.leaderboard_check import changes
from ood_bench.store.row import Row
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.suites import load_suite

# Theirs that are no alias of ours and mean one of ours; their ASH is the binarising one.
SPELLINGS = {"ash": "ash-b", "weiper+kld": "weiper"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of ours stand beside which of theirs."""

    suite: str | None
    model: str | None
    arch: str | None
    training: str | None

    def keeps(self, row: Row) -> bool:
        training, _, rest = row.model.partition("/")
        arch = rest.partition(" (")[0]
        return self.arch in (None, arch) and self.training in (None, training)


def report(path: Path, wanted: Wanted, home: Home, base: Path | None, *, as_csv: bool, as_json: bool) -> None:
    """Print their rows, beside ours where a suite and model of ours are named."""
    load_all()
    theirs = [row for row in read_openood(path, _our_name) if wanted.keeps(row)]
    if not theirs:
        raise RequestError(f"no row of {path} has architecture {wanted.arch!r} and training {wanted.training!r}")
    if (wanted.suite is None) != (wanted.model is None):
        raise RequestError("ours are named by --suite and --model together, got one of the two")
    ours: list[Row] = []
    if wanted.suite is not None and wanted.model is not None:
        ours = rows_of(Store(home), load_suite(wanted.suite, home), models=[wanted.model])
    if as_csv:
        click.echo(to_csv(theirs), nl=False)
        return
    drift = changes(read_openood(base, _our_name), theirs) if base is not None else []
    pairs = beside(theirs, ours)
    if as_json:
        rows = [
            {**one.theirs.columns(), "ours": one.ours and one.ours.auroc, "difference": one.difference} for one in pairs
        ]
        print_json({"schema": 1, "rows": rows, "changes": drift})
        return
    show("rows", [_item(one) for one in pairs], _columns(bool(ours)), as_json=False)
    click.echo(f"\nAll of theirs are {UNVERIFIED}. Differences are ours - theirs, in points of AUROC.")
    for line in drift:
        click.echo(line)


def _our_name(theirs: str) -> str:
    name = SPELLINGS.get(theirs.lower(), theirs.lower())
    return SCORERS.aliases.get(name, name)


def _columns(with_ours: bool) -> tuple[str, ...]:
    return ("suite", "scorer", "model", "group", "theirs", *(("ours", "difference") if with_ours else ()), "flags")


def _item(one: Beside) -> dict[str, object]:
    row = one.theirs
    spread = "" if row.auroc_std is None else f" ± {100 * row.auroc_std:.2f}"
    return {
        "suite": row.suite,
        "scorer": row.scorer,
        "model": row.model,
        "group": row.group,
        "theirs": "" if row.auroc is None else f"{100 * row.auroc:.2f}{spread}",
        "ours": "" if one.ours is None or one.ours.auroc is None else f"{100 * one.ours.auroc:.2f}",
        "difference": "" if one.difference is None else f"{100 * one.difference:+.2f}",
        "flags": (row.reason or "").removeprefix(UNVERIFIED).removeprefix("; "),
    }
