"""The Python interface, on which the command line is built: from tensors or banks to a table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import psutil
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ood_bench.bank.base import KindOfLabels
from ood_bench.bank.catalog import find_bank
from ood_bench.bank.heads import has_head, read_head
from ood_bench.bank.manifest import read_manifest
from ood_bench.bank.memory import MemoryBank
from ood_bench.bank.reader import DiskBank, open_bank
from ood_bench.defaults import default_model, default_suite
from ood_bench.digits.banks import ensure_banks
from ood_bench.engine import Learning
from ood_bench.errors import RequestError
from ood_bench.home import Home, find_home
from ood_bench.importing.roles import families
from ood_bench.material import Material, find_material
from ood_bench.naming import unknown
from ood_bench.parameters import Scalar
from ood_bench.profiles import load_profile
from ood_bench.progress import progress_bar
from ood_bench.registry import SCORERS, load_all, load_plugin
from ood_bench.render.table import Format, render
from ood_bench.runner import ALL, Options, every_spec, execute
from ood_bench.specs import Spec, make_spec, parse_spec
from ood_bench.store.records import Run, Skipped
from ood_bench.store.rows import Row, rows_of
from ood_bench.store.store import Store
from ood_bench.stream import Stream, choose_device
from ood_bench.suites import FprOrientation, SetSpec, Suite, load_suite
from ood_bench.tasks.abstaining import Loadings
from ood_bench.tasks.catalogue import OOD, chosen_tasks, get_task
from ood_bench.tasks.estimating import Estimation, chosen_estimators
from ood_bench.tasks.render import render_task
from ood_bench.tasks.results import TaskResults
from ood_bench.tasks.running import Wanted, answer_tasks, is_possible
from ood_bench.tasks.task import Asked
from ood_bench.types import Head

if TYPE_CHECKING:
    import pandas as pd

Tensors: TypeAlias = Mapping[str, "ArrayLike | Tensor"]
ID_ROLES = ("fit", "val", "test")
SHIFTED = "shifted"
SHORT = 5  # methods in the tables of further tasks that nobody asked for by name
SOLITARY = "ood"  # the group of sets that are given without one


@dataclass(frozen=True)
class Results:
    """What a run found: rows for OOD detection, the further tasks, and what could not be scored and why.

    Displays itself as tables.
    """

    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[Skipped, ...]
    suite: Suite
    run: Run
    tasks: Mapping[str, TaskResults] = field(default_factory=dict)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows with the leaderboard's columns; shares in [0, 1]."""
        from ood_bench.store.frames import to_frame  # not at the top: pandas takes a second, and few runs need it

        return to_frame(self.rows)

    def table(self, fmt: Format = "text", **options: Any) -> str:
        """The table of OOD detection as text, markdown, latex, csv or html."""
        return render(self.rows, fmt=fmt, fpr=self.suite.fpr, **options)

    def tables(self, fmt: Format = "text", *, detail: bool | None = None, top: int | None = None) -> list[str]:
        """The table of OOD detection, then one for each further task; these with their `top` methods alone, if given."""
        first = [self.table(fmt, detail=detail)] if self.rows else []
        return first + [
            render_task(one.task, one.rows, fmt=fmt, detail=bool(detail), top=top)
            for one in self.tasks.values()
            if one.rows
        ]

    def __repr__(self) -> str:
        return "\n".join(self.tables(top=SHORT))

    def _repr_html_(self) -> str:
        return "\n".join(self.tables("html", top=SHORT))


def names() -> list[str]:
    """Names of all scorers and rectifiers."""
    load_all()
    return SCORERS.names()


def get(name: str, **parameters: Scalar) -> Spec:
    """A scorer (or composition) by name, with typed hyper-parameters: `get("knn", k=50)`, `get("react+vim")`."""
    load_all()
    return make_spec(name, parameters)


def load_bank(model: str, set_name: str, *, model_seed: int | None = None, home: str | Path | None = None) -> DiskBank:
    """The bank of one model on one set; `open_bank(folder)` opens one by its folder."""
    place = find_home(home)
    folder = find_bank(place, model, model_seed, set_name)
    if folder is None:
        raise RequestError(
            f"no bank of {model} on {set_name} in {place.root}; ood-bench list banks shows those there are"
        )
    head = place.head_folder(model, model_seed, read_manifest(folder).identity.label_space)
    return open_bank(folder, read_head(head) if has_head(head) else None)


def evaluate(
    data: Mapping[str, Any],
    scorers: str | Spec | Sequence[str | Spec] = ALL,
    *,
    device: str = "auto",
    memory: int | None = None,
    fpr: FprOrientation = "id_positive",
    tasks: str | Sequence[str] = (),
    estimators: str | Sequence[str] = ALL,
) -> Results:
    """Score tensors that are in memory; nothing is kept on disk.

    `data` maps roles to sets. `fit`, `val` and `test` are ID sets, each a dict with `features` (n, d), `logits` (n, K),
    `labels` (n,), of which any may be missing; `head` is (W, b) or a Head. `shifted` is a dict of shifted ID sets, those
    named `blur-1`, `blur-2` being one family. Every other key is an OOD set, or a group of them:
    `{"near": {"cifar100": {...}}, "svhn": {...}}`. `tasks` are as on the command line; by default all that are possible.
    """
    load_all()
    with tempfile.TemporaryDirectory(prefix="ood-bench-") as folder:
        store = Store(Home(Path(folder)))
        request = _Request(_texts(tasks), chosen_estimators(_texts(estimators)))
        return _answer(request, _in_memory(data, fpr), _specs(scorers), store, stream_for(device, memory), Options())


def run(
    suite: str | None = None,
    model: str | None = None,
    scorers: str | Spec | Sequence[str | Spec] = ALL,
    *,
    model_seed: int | None = None,
    profile: str | None = None,
    plugins: Iterable[str | Path] = (),
    device: str = "auto",
    memory: int | None = None,
    recompute: bool = False,
    home: str | Path | None = None,
    tasks: str | Sequence[str] = (),
    estimators: str | Sequence[str] = ALL,
    second: str | None = None,
    loadings: Sequence[tuple[float, float]] = ((1.0, 1.0),),
) -> Results:
    """What `ood-bench run` does: score a suite's banks of one model with all scorers asked for, keep and return it.

    Without a suite the model's own is taken, without a model the suite's; without both, `digits` and `digits-cnn`.
    `tasks` names what to answer (ood, selective, accuracy, ...), by default all that the suite supports; `estimators`
    are those of the task accuracy, `second` (MODEL or MODEL@SEED) the checkpoint that `agreement` compares with, and
    `loadings` what a right answer gains and a wrong one loses in the task abstention.
    """
    load_all()
    for plugin in plugins:
        load_plugin(Path(plugin))
    place = find_home(home)
    chosen = load_suite(suite, place) if suite else default_suite(model, place)
    model = model or default_model(chosen, place)
    specs = _specs(scorers)
    if profile is not None:
        specs = load_profile(profile).apply(specs)
    stream = stream_for(device, memory)
    if chosen.name == "digits" and chosen.origin == "shipped" and model in chosen.models:
        ensure_banks(place, model_seed=model_seed)
    material = find_material(place, chosen, model, model_seed)
    asked = {"suite": chosen.name, "model": model, "scorers": [str(spec) for spec in specs], "device": device}
    judged = tuple(Loadings(float(correct), float(wrong)) for correct, wrong in loadings)
    request = _Request(_texts(tasks), chosen_estimators(_texts(estimators)), second, judged)
    with progress_bar() as progress:
        options = Options(recompute=recompute, profile=profile, request=asked, progress=progress)
        return _answer(request, material, specs, Store(place), stream, options)


def stream_for(device: str, memory: int | None) -> Stream:
    """Where to compute, and with how much: half of the free memory unless `memory` (bytes) is given."""
    chosen = choose_device(device)
    if memory is None:
        free = torch.cuda.mem_get_info(chosen)[0] if chosen.type == "cuda" else psutil.virtual_memory().available
        memory = free // 2
    return Stream(chosen, memory)


@dataclass(frozen=True)
class _Request:
    """What is to be answered beside the scorers."""

    tasks: tuple[str, ...]
    estimators: list[Estimation]
    second: str | None = None
    loadings: tuple[Loadings, ...] = (Loadings(),)


def _answer(
    request: _Request, material: Material, specs: list[Spec], store: Store, stream: Stream, options: Options
) -> Results:
    """Score what the tasks need scores for, ask the banks the rest, and read the results out of the store."""
    suite = material.suite
    names = chosen_tasks(request.tasks, suite)
    if not request.tasks:
        names = tuple(name for name in names if is_possible(name, material))
    scored = any(name == OOD or get_task(name).from_scores for name in names)
    run = execute(material, specs if scored else [], store, stream, options)
    asking = [name for name in names if name != OOD and not get_task(name).from_scores]
    wanted = Wanted(asking, request.estimators, request.second, request.loadings, options.recompute)
    answer_tasks(wanted, material, run, store, stream)
    found = {name: TaskResults.of(get_task(name), Asked(store, suite, run)) for name in names if name != OOD}
    if not request.tasks:
        found = {name: one for name, one in found.items() if one.has_numbers}
    rows = rows_of(store, suite, run=run) if OOD in names else []
    return Results(tuple(rows), run.skipped, run.failed, suite, run, found)


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _specs(scorers: str | Spec | Sequence[str | Spec]) -> list[Spec]:
    asked = [scorers] if isinstance(scorers, str | Spec) else scorers
    specs: list[Spec] = []
    for one in asked:
        specs += every_spec() if one == ALL else [one if isinstance(one, Spec) else parse_spec(one)]
    if not specs:
        raise RequestError("a run needs at least one scorer, got none; name one, or all")
    return list(dict.fromkeys(specs))


def _in_memory(data: Mapping[str, Any], fpr: FprOrientation) -> Material:
    given = data.get("head")
    head = given if isinstance(given, Head) or given is None else Head(*(torch.as_tensor(part) for part in given))
    roles = {role: _bank(role, data[role], head, "id") for role in ID_ROLES if role in data}
    shifted = {name: _bank(name, value, head, "id") for name, value in data.get(SHIFTED, {}).items()}
    groups: dict[str, dict[str, MemoryBank]] = {}
    for key, value in data.items():
        if key in (*ID_ROLES, SHIFTED, "head"):
            continue
        if not isinstance(value, Mapping):
            raise RequestError(
                f"{key} should be a set (a dict of tensors) or a group of sets, got {type(value).__name__}"
            )
        if value and all(isinstance(member, Mapping) for member in value.values()):
            groups[key] = {name: _bank(name, member, head, "ood") for name, member in value.items()}
        else:
            groups.setdefault(SOLITARY, {})[key] = _bank(key, value, head, "ood")
    ood = {name: bank for group in groups.values() for name, bank in group.items()}
    if "test" not in roles or not (ood or shifted or roles["test"].has_labels):
        raise unknown("role", "test" if "test" not in roles else "any OOD set", data)
    suite = Suite(
        name="memory",
        source=Path("memory"),
        origin="home",
        fpr=fpr,
        groups={group: tuple(members) for group, members in groups.items()},
        shifted=families(shifted),
        sets={name: SetSpec(name) for name in (*roles, *ood, *shifted)},
        fit="fit" if "fit" in roles else None,
        val="val" if "val" in roles else None,
        test="test",
    )
    learning = Learning(head, roles.get("fit"), roles.get("val"))
    return Material(suite, "memory", None, learning, {"test": roles["test"], **ood, **shifted})


def _bank(name: str, tensors: Tensors, head: Head | None, kind: KindOfLabels) -> MemoryBank:
    if not isinstance(tensors, Mapping):
        raise RequestError(
            f"{name} should be a dict of tensors (features, logits, labels), got {type(tensors).__name__}"
        )
    arrays: dict[str, Any] = {key: torch.as_tensor(value) for key, value in tensors.items()}
    return MemoryBank.of(name, kind_of_labels=kind, head=head, **arrays)
