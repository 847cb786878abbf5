"""Sweeps over hyper-parameters: all values are fitted and scored together, and one is chosen on validation sets alone.

Chosen by AUROC of the suite's ID validation set against its OOD validation sets (the mean over them), the first of equal
ones. The default, the selected value and the oracle (the best on the test sets, never a result) are kept apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ood_bench.api import stream_for
from ood_bench.defaults import default_model, default_suite
from ood_bench.errors import CannotScore, RequestError
from ood_bench.home import find_home
from ood_bench.material import Material, find_material
from ood_bench.metrics.ood import SortedScores, ood_metrics
from ood_bench.naming import unknown
from ood_bench.parameters import build
from ood_bench.profiles import Grid, Profile, load_profile
from ood_bench.progress import progress_bar
from ood_bench.registry import load_all
from ood_bench.requirements import describe
from ood_bench.runner import Options, score_all
from ood_bench.specs import Spec, parse_spec
from ood_bench.store.records import Run, ScoreRecord
from ood_bench.store.rows import Row, rows_of
from ood_bench.store.store import Store
from ood_bench.store.tuned import TUNINGS
from ood_bench.stream import Stream
from ood_bench.suites import Suite, load_suite

OPENOOD = "openood"  # short for the grids of this profile, each on the profile's own parameters
PROFILES = {OPENOOD: "openood-v1.5"}


@dataclass(frozen=True, slots=True)
class Point:
    """One value of the swept parameters: on validation, and per OOD set of the suite. None where it has no scores."""

    spec: str
    params: Mapping[str, object]
    validation: float | None
    test: Mapping[str, float]
    records: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """The curve of one scorer, and which of its points are the default, the selected one and the oracle."""

    scorer: str
    swept: tuple[str, ...]
    tuned_on: str
    points: tuple[Point, ...]
    default: int | None
    selected: int | None  # None where no value has scores on both validation sets
    oracle: int | None

    def to_json(self) -> dict[str, object]:
        """As it stands in the run's request, and in the answer of `ood-bench tune --json`."""
        return {
            "scorer": self.scorer,
            "swept": list(self.swept),
            "tuned_on": self.tuned_on,
            "selected_by": "AUROC, the first of equal ones",
            "default": self._spec(self.default),
            "selected": self._spec(self.selected),
            "oracle": self._spec(self.oracle),
            "selected_records": [] if self.selected is None else list(self.points[self.selected].records),
            "curve": [
                {
                    "spec": point.spec,
                    "params": dict(point.params),
                    "validation_auroc": point.validation,
                    "auroc": dict(point.test),
                    "reason": point.reason,
                }
                for point in self.points
            ],
        }

    def _spec(self, index: int | None) -> str | None:
        return None if index is None else self.points[index].spec


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a tuning found: the curves, the run that keeps them, and rows of defaults and selected values."""

    suite: Suite
    run: Run
    tunings: tuple[Tuning, ...]
    rows: tuple[Row, ...]


def tune(
    scorers: str | Spec | Sequence[str | Spec],
    grid: str | Grid,
    *,
    suite: str | None = None,
    model: str | None = None,
    model_seed: int | None = None,
    device: str = "auto",
    memory: int | None = None,
    home: str | Path | None = None,
) -> Tuned:
    """What `ood-bench tune` does. `grid` maps parameters to values, or names a profile whose grids are taken.

    A default is the scorer as it is written in `scorers`, or as the profile has it.
    """
    load_all()
    place = find_home(home)
    chosen = load_suite(suite, place) if suite else default_suite(model, place)
    model = model or default_model(chosen, place)
    texts = [scorers] if isinstance(scorers, str | Spec) else list(scorers)
    bases = [one if isinstance(one, Spec) else parse_spec(one) for one in texts]
    profile = load_profile(PROFILES.get(grid, grid)) if isinstance(grid, str) else None
    if profile is not None:
        bases = profile.apply(bases)
    material = find_material(place, chosen, model, model_seed)
    store = Store(place)
    with progress_bar() as progress:
        options = Options(profile=None if profile is None else profile.name, progress=progress)
        grids = [(base, _grid_of(base, grid, profile)) for base in bases]
        run, tunings = tune_all(material, grids, store, stream_for(device, memory), options)
    return Tuned(chosen, run, tunings, tuple(row for tuning in tunings for row in _rows(store, chosen, run, tuning)))


def tune_all(
    material: Material, grids: Sequence[tuple[Spec, Grid]], store: Store, stream: Stream, options: Options
) -> tuple[Run, tuple[Tuning, ...]]:
    """All values of all scorers in one go; the run is kept with the curves and the choice in its request."""
    val = material.learning.val
    if val is None or not material.val_ood:
        raise RequestError(_what_is_missing(material))
    everything = replace(material, scored={val.set: val, **material.val_ood, **material.scored})
    info = describe(material.learning, everything.scored.values())

    def resolved(spec: Spec) -> Spec:
        try:
            return spec.resolved(info)
        except (CannotScore, AssertionError):
            return spec  # the run says why it cannot be scored

    candidates = {base: [resolved(spec) for spec in specs_of(base, grid)] for base, grid in grids}
    wanted = list(dict.fromkeys(spec for base, specs in candidates.items() for spec in (resolved(base), *specs)))
    run = score_all(everything, wanted, store, stream, options)
    judge = _Judge(store, run, material, val.set)
    tuned_on = f"{val.set} against {' and '.join(material.val_ood)}"
    tunings = []
    for base, grid in grids:
        points = tuple(judge.point(spec) for spec in dict.fromkeys((*candidates[base], resolved(base))))
        on_grid = range(len(set(candidates[base])))
        default = next((i for i, point in enumerate(points) if point.spec == str(resolved(base))), None)
        selected = _first_best([points[i].validation for i in on_grid])
        oracle = _first_best([_mean(points[i].test.values()) for i in on_grid])
        tunings.append(Tuning(str(base), tuple(grid), tuned_on, points, default, selected, oracle))
    request = {**(options.request or {}), "profile": options.profile, TUNINGS: [one.to_json() for one in tunings]}
    run = replace(run, request=request)
    store.put_run(run)
    return run, tuple(tunings)


def parse_grid(texts: Sequence[str]) -> str | Grid:
    """`k=10,50` (repeated: every combination, the last parameter fastest), or the name of a profile."""
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    grid: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        listed = tuple(value for value in values.split(",") if value)
        if not (name and equals and listed):
            raise RequestError(f"--grid takes name=value,value,... or the name of a profile, got {text!r}")
        if name in grid:
            raise RequestError(f"--grid {name} is given twice; list all its values in one")
        grid[name] = listed
    if not grid:
        raise RequestError("a tuning needs a grid: --grid name=value,value,... or --grid openood")
    return grid


def specs_of(base: Spec, grid: Grid) -> list[Spec]:
    """The base with every combination of values. In a composition a parameter carries its part's name: `react.q`."""
    specs = []
    for values in itertools.product(*grid.values()):
        spec = base
        for name, value in zip(grid, values, strict=True):
            spec = _with(spec, name, value)
        specs.append(spec)
    return specs


def _with(spec: Spec, name: str, value: str) -> Spec:
    owner, dot, parameter = name.rpartition(".")
    places = [
        index
        for index, part in enumerate(spec.parts)
        if (not dot or part.entry.name == owner) and parameter in part.values
    ]
    if len(places) != 1:
        known = [f"{part.entry.name}.{key}" if spec.rectifiers else key for part in spec.parts for key in part.values]
        raise unknown(f"parameter of {spec.name}", name, known)
    part = spec.parts[places[0]]
    texts = {key: _text(one) for key, one in part.values.items() if one is not None} | {parameter: value}
    changed = replace(part, instance=build(part.entry.cls, texts, part.entry.name))
    parts = [*spec.parts[: places[0]], changed, *spec.parts[places[0] + 1 :]]
    return replace(spec, rectifiers=tuple(parts[:-1]), scorer=parts[-1])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Judge:
    """Reads the stored scores of a run and measures every value of a curve."""

    def __init__(self, store: Store, run: Run, material: Material, val: str) -> None:
        self.store, self.run, self.val = store, run, val
        self.val_ood, self.suite = tuple(material.val_ood), material.suite
        found = (store.get(key) for key in run.records)
        self.records = {(record.spec, record.set): record for record in found if record is not None}

    def point(self, spec: Spec) -> Point:
        text = str(spec)
        mine = {name: record for (of, name), record in self.records.items() if of == text}
        outside = [name for names in self.suite.groups.values() for name in names]
        on_validation = self._auroc(mine, self.val, self.val_ood)
        on_test = self._auroc(mine, self.suite.test, outside)
        reason = next((one.reason for one in (*self.run.failed, *self.run.skipped) if one.scorer == text), None)
        validation = _mean(on_validation.values()) if len(on_validation) == len(self.val_ood) else None
        return Point(text, spec.params, validation, on_test, tuple(r.key.sha256 for r in mine.values()), reason)

    def _auroc(self, mine: Mapping[str, ScoreRecord], inside: str | None, outside: Sequence[str]) -> dict[str, float]:
        if inside is None or inside not in mine:
            return {}
        known = SortedScores(self.store.scores(mine[inside]), inside)
        return {
            name: ood_metrics(known, SortedScores(self.store.scores(mine[name]), name)).auroc
            for name in outside
            if name in mine
        }


def _rows(store: Store, suite: Suite, run: Run, tuning: Tuning) -> list[Row]:
    """Leaderboard rows of the default and of the selected value; the selected one says what it was tuned on."""
    rows: list[Row] = []
    for index, tuned_on in ((tuning.default, None), (tuning.selected, tuning.tuned_on)):
        if index is not None:
            found = rows_of(store, suite, run=run, scorers=(tuning.points[index].spec,))
            rows += [replace(row, tuned_on=tuned_on) for row in found]
    return rows


def _grid_of(base: Spec, grid: str | Grid, profile: Profile | None) -> Grid:
    if not isinstance(grid, str):
        return grid
    assert profile is not None
    if base.name not in profile.grids:
        raise unknown(f"grid of profile {profile.name}", base.name, profile.grids)
    return profile.grids[base.name]


def _first_best(values: Sequence[float | None]) -> int | None:
    known = [(value, -index) for index, value in enumerate(values) if value is not None]
    return -max(known)[1] if known else None


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else None


def _what_is_missing(material: Material) -> str:
    suite = material.suite
    if suite.val is None:
        return f"tuning chooses on ID validation data, and suite {suite.name} names no val set; name one with --val"
    if not suite.val_ood:
        return (
            f"tuning chooses on an OOD validation set apart from the test sets, and suite {suite.name} names none; "
            'name one with --val-ood at import, or val_ood = ["SET"] under [roles] of the suite'
        )
    lacking = [name for name in (suite.val, *suite.val_ood) if name in material.absent]
    return f"tuning needs banks of {material.model} on {', '.join(lacking)}, the validation sets of suite {suite.name}"
