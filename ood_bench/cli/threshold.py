"""`ood-bench threshold`: a scorer with a threshold, for use elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import click

from ood_bench import api
from ood_bench.cli.options import HOME, JSON, Bytes, print_json
from ood_bench.detector import Detector, make_detector
from ood_bench.engine import score_bank
from ood_bench.home import find_home
from ood_bench.material import Material, find_material
from ood_bench.metrics.threshold import Rule
from ood_bench.registry import load_all
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream
from ood_bench.suites import load_suite


class At(click.ParamType):  # type: ignore[type-arg]  # a generic class only in newer versions of click
    """`tpr=0.95` or `alarm=0.05`."""

    name = "rule"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[Rule, float]:
        match = re.fullmatch(r"(tpr|alarm)=(0?\.\d+)", str(value).strip())
        if match is None or float(match[2]) <= 0:
            self.fail(f"expects tpr=0.95 or alarm=0.05, got {value!r}", param, context)
        return cast(Rule, match[1]), float(match[2])


@click.command()
@click.option("--suite", required=True, metavar="NAME", help="Whose banks to learn from.")
@click.option("--model", required=True, metavar="NAME", help="Which backbone.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where a model has several.")
@click.option("--scorer", required=True, metavar="SPEC", help="Which scorer, as for ood-bench run.")
@click.option(
    "--at",
    type=At(),
    default="tpr=0.95",
    show_default=True,
    help="tpr=SHARE keeps that share of ID validation; alarm=RATE guarantees that false-alarm rate (conformal).",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.json", help="Save the detector there.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--memory", type=Bytes(), metavar="SIZE", help="How much to use. [default: half of what is free]")
@HOME
@JSON
def threshold(
    suite: str,
    model: str,
    model_seed: int | None,
    scorer: str,
    at: tuple[Rule, float],
    out: Path | None,
    device: str,
    memory: int | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Fit a scorer, set its threshold on the ID validation set, and say what it lets through on every other set.

    `ood_bench.load_detector(FILE.json)` applies it to new tensors: score, decision and conformal p-value of each row.
    """
    load_all()
    place = find_home(home)
    material = find_material(place, load_suite(suite, place), model, model_seed)
    stream = api.stream_for(device, memory)
    detector = make_detector(material, parse_spec(scorer), *at, stream)
    saved = None if out is None else detector.save(out)
    rows = shares(detector, material, stream)
    if as_json:
        print_json(document(detector, rows, saved))
        return
    rule = "false alarms at most" if detector.threshold.rule == "alarm" else "ID kept at least"
    click.echo(f"{detector.spec} on {model}: accept a row where its score is at least {detector.threshold.value:.9g}")
    click.echo(f"{rule} {detector.threshold.level:g}, from {detector.threshold.n} rows of {material.suite.val}")
    if detector.reused:
        click.echo("The scorer learnt from these rows too, so the guarantee does not hold exactly.")
    for row in rows:
        click.echo(f"{100 * float(row['accepted']):7.2f} %  accepted of {row['set']} ({row['role']}, {row['n']} rows)")
    if saved is not None:
        click.echo(f"Saved: {saved}. In Python: ood_bench.load_detector({str(saved)!r})")


def shares(detector: Detector, material: Material, stream: Stream) -> list[dict[str, Any]]:
    """The share of each scored set that the detector accepts."""
    info = describe(material.learning, material.scored.values())
    found = []
    for name, bank in material.scored.items():
        done = score_bank([detector.fitted], bank, material.learning, info, stream)
        scores = done.scores.get(detector.fitted.spec)
        if scores is not None:
            share = float((scores.values >= detector.threshold.value).mean())
            found.append({"set": name, "role": material.suite.role_of(name), "n": bank.n, "accepted": share})
    return found


def document(detector: Detector, rows: list[dict[str, Any]], saved: Path | None) -> dict[str, object]:
    """What --json prints."""
    return {
        "schema": 1,
        "scorer": detector.spec,
        "model": detector.model,
        "threshold": detector.threshold.value,
        "rule": detector.threshold.rule,
        "level": detector.threshold.level,
        "n_calibration": detector.threshold.n,
        "kept": detector.threshold.kept,
        "learned_from_calibration": detector.reused,
        "file": None if saved is None else str(saved),
        "sets": rows,
    }
