"""Imported scores become records of the store, in the same table as ours and marked."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ood_bench.bank.catalog import find_bank
from ood_bench.bank.reader import open_bank
from ood_bench.canonical import sha256_of, sha256_of_file, sha256_of_lines
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.importing.scores import TEST, SetScores, read_scores
from ood_bench.naming import NAME, unknown
from ood_bench.store.records import Provenance, Run, ScoreKey, ScoreRecord, new_run_id, sha256_of_scores
from ood_bench.store.store import Store
from ood_bench.suite_types import VAL_OOD
from ood_bench.suites import SetSpec, Suite, list_suites, load_suite, write_suite

ALONE = "ood"  # the group of sets for which neither file nor suite names one


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Whose scores they are. `negate` is for scores of which higher means more out-of-distribution."""

    suite: str
    model: str
    scorer: str
    model_seed: int | None = None
    negate: bool = False
    params: Mapping[str, object] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)  # a set's name in the file -> in the suite


@dataclass(frozen=True, slots=True)
class ImportedScores:
    """What an import of scores did."""

    suite: Suite
    run: Run
    sets: Mapping[str, int]  # rows by set
    aside: tuple[str, ...]  # sets of the file that the suite does not use
    notes: tuple[str, ...]
    suite_is_new: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A set's scores in the order of its bank, and the hash that stands for that bank."""

    given: SetScores
    bank_sha256: str
    list_sha256: str | None
    bank_is_here: bool


def import_scores(home: Home, path: Path, request: Request) -> ImportedScores:
    """Keep the scores in `path` as records of origin `imported`, with a run that names them; all of it, or nothing.

    A suite that does not exist is made from what the file says about groups. Where a bank of the same checkpoint and
    set is in the home the scores must have its rows: in its order, or with ids that say which is which. Predictions and
    labels of the ID test set are kept, and give the ID accuracy and the tasks that need outcomes.
    """
    for what, name in (("scorer", request.scorer), ("suite", request.suite)):
        if not NAME.fullmatch(name):
            raise RequestError(f"a {what}'s name is made of a-z, 0-9 and '-', got {name!r}")
    given = {request.rename.get(name, name): one for name, one in read_scores(path).items()}
    if missing := sorted(set(request.rename) - {one.name for one in given.values()}):
        raise unknown(f"set of {path}", missing[0], [one.name for one in given.values()])
    known = any(suite.name == request.suite for suite in list_suites(home))
    suite = load_suite(request.suite, home) if known else _new_suite(given, request, path)
    chosen, aside = _chosen(given, suite, path)
    ready = {name: _ready(home, suite, request, name, one) for name, one in chosen.items()}
    if not known:
        write_suite(home, suite)
    store = Store(home)
    records = {name: _record(one, name, path, request, ready) for name, one in ready.items()}
    for name, record in records.items():
        store.put(record, ready[name].given.scores)
    notes = _keep_outcomes(store, ready.get(suite.test or ""))
    run = Run(
        id=new_run_id(),
        time=_now(),
        suite=suite.name,
        model=request.model,
        model_seed=request.model_seed,
        banks={name: one.bank_sha256 for name, one in ready.items()},
        head_sha256=None,
        request={"import-scores": path.name, "sha256": sha256_of_file(path), "scorer": request.scorer},
        records=tuple(record.key.sha256 for record in records.values()),
    )
    store.put_run(run)
    rows = {name: len(one.given.scores) for name, one in ready.items()}
    return ImportedScores(suite, run, rows, aside, notes, not known)


def _new_suite(given: Mapping[str, SetScores], request: Request, path: Path) -> Suite:
    groups: dict[str, tuple[str, ...]] = {}
    for name, one in given.items():
        if name != TEST and one.group != "csid" and not name.startswith(("id.", "ood.")):
            group = one.group or ALONE
            groups[group] = (*groups.get(group, ()), name)
    if TEST not in given or not groups:
        raise RequestError(
            f"no suite is named {request.suite!r}, and to make it {path} should hold scores of {TEST!r} (ID) and of at "
            f"least one other set, got {', '.join(given)}; name an existing suite, or use --rename"
        )
    names = [TEST, *(name for sets in groups.values() for name in sets)]
    return Suite(
        name=request.suite,
        source=path,
        origin="home",
        label_space=request.suite,
        models=(request.model,),
        test=TEST,
        groups=groups,
        sets={name: SetSpec(name, count=len(given[name].scores)) for name in names},
    )


def _chosen(given: Mapping[str, SetScores], suite: Suite, path: Path) -> tuple[dict[str, SetScores], tuple[str, ...]]:
    """The file's sets by their name in the suite; what the suite has no scores of is left aside."""
    scored = {name for role, name in suite.members if role not in ("fit", "val", VAL_OOD)}
    chosen: dict[str, SetScores] = {}
    aside = []
    for name, one in given.items():
        meant = suite.test if name == TEST and TEST not in scored else name
        if meant in scored:
            chosen[str(meant)] = one
        elif one.group == "csid" or name.startswith(("id.", "ood.")):
            aside.append(name)
        else:
            raise unknown(f"set of suite {suite.name} (given by {path}; see --rename)", name, scored)
    if not chosen:
        raise RequestError(f"{path} should hold scores of sets of suite {suite.name}, and has none")
    for name, one in chosen.items():
        count = suite.sets[name].count
        if count not in (None, len(one.scores)):
            raise RequestError(
                f"{name} should have {count} rows in suite {suite.name}, got {len(one.scores)} in {path}"
            )
    return chosen, tuple(aside)


def _ready(home: Home, suite: Suite, request: Request, name: str, given: SetScores) -> _Ready:
    given = replace(given, scores=-given.scores) if request.negate else given
    listed = suite.sets[name].list_sha256
    folder = find_bank(home, request.model, request.model_seed, name, listed, label_space=suite.label_space)
    labels = given.labels if given.labels is not None and (given.labels >= 0).all() else None
    if folder is None:
        stands_for = {
            "imported": 1,
            "model": request.model,
            "model_seed": request.model_seed,
            "set": name,
            "n": len(given.scores),
            "labels": None if labels is None else sha256_of(labels.tolist()),
            "ids": None if given.ids is None else sha256_of_lines(given.ids),
        }
        return _Ready(given, sha256_of(stands_for), listed, bank_is_here=False)
    bank = open_bank(folder)
    if bank.n != len(given.scores):
        raise RequestError(f"{name} should have {bank.n} rows as its bank has, got {len(given.scores)} scores")
    if given.ids is not None:
        given = _in_order(given, bank.ids, name)
    if given.labels is not None and name == suite.test and bank.has_labels:
        theirs = np.asarray(bank.read("labels"))
        wrong = np.flatnonzero(theirs != given.labels)
        if wrong.size:
            raise RequestError(
                f"the rows of {name} should be in the order of its bank, but the label of row {wrong[0]} is "
                f"{given.labels[wrong[0]]} where the bank has {theirs[wrong[0]]}; give ids, or the scores in that order"
            )
    return _Ready(given, bank.sha256, listed or bank.manifest.identity.list_sha256, bank_is_here=True)


def _in_order(given: SetScores, wanted: tuple[str, ...] | list[str], name: str) -> SetScores:
    """The rows in the order of the bank's ids."""
    assert given.ids is not None
    rows = {id_: row for row, id_ in enumerate(given.ids)}
    absent = next((id_ for id_ in wanted if id_ not in rows), None)
    if absent is not None or len(rows) != len(given.ids):
        fact = "an id stands twice" if absent is None else f"{absent!r} is missing"
        raise RequestError(f"the ids of {name} should be those of its bank, each once, but {fact}")
    order = np.array([rows[id_] for id_ in wanted])
    return replace(
        given,
        scores=given.scores[order],
        predicted=None if given.predicted is None else given.predicted[order],
        labels=None if given.labels is None else given.labels[order],
        ids=tuple(wanted),
    )


def _record(one: _Ready, name: str, path: Path, request: Request, every: Mapping[str, _Ready]) -> ScoreRecord:
    scores = one.given.scores
    # one version for the whole file: the sets of a file belong together, and another file is another version
    content = sha256_of({other: sha256_of_scores(ready.given.scores) for other, ready in sorted(every.items())})
    asked = ",".join(f"{key}={value}" for key, value in request.params.items())
    return ScoreRecord(
        key=ScoreKey(
            scorer=request.scorer,
            version=f"imported-{content[:12]}",
            params=dict(request.params),
            bank_sha256=one.bank_sha256,
        ),
        spec=request.scorer + (f":{asked}" if asked else ""),
        model=request.model,
        model_seed=request.model_seed,
        set=name,
        n=len(scores),
        scores_sha256=sha256_of_scores(scores),
        score_dtype=str(scores.dtype),
        provenance=(
            Provenance(device="imported", host=platform.node(), program=version("ood-bench"), time=_now(), versions={}),
        ),
        list_sha256=one.list_sha256,
        origin="imported",
        marks=(f"scores imported from {path.name}",),
    )


def _keep_outcomes(store: Store, test: _Ready | None) -> tuple[str, ...]:
    if test is None or test.given.predicted is None or test.given.labels is None or (test.given.labels < 0).any():
        return ()
    if test.bank_is_here and store.outcomes(test.bank_sha256) is not None:
        return ()  # the bank's own predictions are the classifier's
    try:
        store.put_outcomes(test.bank_sha256, test.given.predicted, test.given.labels)
    except IntegrityError as error:
        return (f"the predictions were not kept: {error}",)
    return ()


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()
