"""`ood-bench plot`: stored scores as a picture, on the terminal or as a file. Needs no torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import numpy as np

from ood_bench.cli.options import HOME
from ood_bench.cli.table import choose
from ood_bench.errors import RequestError
from ood_bench.figures.curves import Curve, risk_coverage, roc
from ood_bench.figures.files import check_out, save_curves, save_histograms
from ood_bench.figures.terminal import curve_text, histogram_text
from ood_bench.home import find_home
from ood_bench.metrics.ood import ood_metrics
from ood_bench.naming import unknown
from ood_bench.render.columns import METRICS
from ood_bench.render.labels import printable
from ood_bench.statistics.contenders import find_contenders
from ood_bench.store.records import ScoreRecord
from ood_bench.store.store import Store
from ood_bench.suites import Suite

Kind = Literal["hist", "roc", "rc"]
_AXES = {"roc": ("OOD accepted, %", "ID kept, %"), "rc": ("coverage, %", "wrong among accepted, %")}


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn of one scorer: its records of one checkpoint, by set."""

    name: str
    records: Mapping[str, ScoreRecord]

    def of(self, name: str) -> ScoreRecord:
        if name not in self.records:
            raise unknown(f"set with scores of {self.name}", name, self.records)
        return self.records[name]


@click.command()
@click.option("--scorer", "scorers", multiple=True, required=True, metavar="SPEC", help="Whose scores; repeat.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME",
    help="Which OOD set; repeat. [default: every one; rc: the ID test set]",
)
@click.option("--kind", type=click.Choice(["hist", "roc", "rc"]), default="hist", show_default=True)
@click.option("--suite", metavar="NAME", help="Which suite. [default: that of the latest run]")
@click.option("--model", metavar="NAME", help="Which backbone, where there are several.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where there are several.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write .pdf, .svg or .png."
)
@HOME
def plot(
    scorers: tuple[str, ...],
    sets: tuple[str, ...],
    kind: Kind,
    suite: str | None,
    model: str | None,
    model_seed: int | None,
    out: Path | None,
    home: str | None,
) -> None:
    """Draw histograms of ID and OOD scores, ROC curves, or risk-coverage curves (rc) of labelled ID sets."""
    if out is not None:
        check_out(out)
    place = find_home(home)
    store = Store(place)
    chosen, _ = choose(place, store, suite, None)
    drawn = _drawn(store, chosen, scorers, model, model_seed)
    if chosen.test is None:
        raise RequestError(f"a picture needs scores of ID samples, but suite {chosen.name} names no ID test set")
    if kind == "rc":
        curves = {
            _title(each, name, drawn, sets): _risk(store, each.of(name))
            for each in drawn
            for name in sets or [chosen.test]
        }
        _show(curves, kind, out)
        return
    names = sets or tuple(name for group in chosen.groups.values() for name in group if name in drawn[0].records)
    pairs = {
        _title(each, name, drawn, names): (store.scores(each.of(chosen.test)), store.scores(each.of(name)))
        for each in drawn
        for name in names
    }
    if kind == "roc":
        _show({_with_numbers(title, *pair, chosen): roc(*pair) for title, pair in pairs.items()}, kind, out)
    elif out is not None:
        save_histograms(out, pairs)
        click.echo(str(out))
    else:
        for title, pair in pairs.items():
            click.echo(_with_numbers(title, *pair, chosen))
            click.echo(histogram_text(*pair, ("ID", "OOD"), width=min(shutil.get_terminal_size().columns, 100)) + "\n")


def _drawn(
    store: Store, suite: Suite, scorers: Sequence[str], model: str | None, model_seed: int | None
) -> tuple[Drawn, ...]:
    found = find_contenders(store, suite, scorers, [model] if model else [])
    places = {place for each in found for place in each.records if model_seed in (None, place.model_seed)}
    if len(places) != 1:
        there = ", ".join(sorted(map(str, places or {place for each in found for place in each.records})))
        raise RequestError(f"a picture is of one checkpoint; say which with --model and --model-seed: {there}")
    (place,) = places
    return tuple(Drawn(printable(each.name), each.records[place]) for each in found)


def _title(each: Drawn, name: str, drawn: Sequence[Drawn], names: Sequence[str]) -> str:
    """The scorer where there are several, the set where there are several, both where neither or both are."""
    if len(drawn) > 1 and len(names) <= 1:
        return each.name
    return printable(name) if len(names) > 1 and len(drawn) == 1 else f"{each.name}, {printable(name)}"


def _with_numbers(title: str, inside: np.ndarray, outside: np.ndarray, suite: Suite) -> str:
    metrics = ood_metrics(inside, outside)
    fpr = f"fpr95_{suite.fpr}"
    numbers = ", ".join(f"{METRICS[name].title} {100 * getattr(metrics, name):.2f}" for name in ("auroc", fpr))
    return f"{title}: {numbers}"


def _risk(store: Store, record: ScoreRecord) -> Curve:
    outcomes = store.outcomes(record.key.bank_sha256)
    if outcomes is None or bool((outcomes[1] < 0).any()):
        raise RequestError(f"a risk-coverage curve needs the labels of every sample, and set {record.set} has none")
    return risk_coverage(store.scores(record), outcomes[0] == outcomes[1])


def _show(curves: Mapping[str, Curve], kind: Literal["roc", "rc"], out: Path | None) -> None:
    x, y = _AXES[kind]
    if out is not None:
        save_curves(out, curves, x=x, y=y, diagonal=kind == "roc")
        click.echo(str(out))
        return
    for title, curve in curves.items():
        top = 1.0 if kind == "roc" else float(curve.y.max()) or 1.0
        click.echo(f"{title}\n{curve_text(curve, x, y, width=shutil.get_terminal_size().columns, top=top)}\n")
