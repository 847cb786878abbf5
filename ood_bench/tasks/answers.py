"""Answers that need the logits of a bank (estimates, calibration, abstention), kept like score records. Needs no torch.

An answer's key holds everything that can change its values; its file is `tasks/<2 hex>/<key>.json` below the home, and
`tasks/runs/<run>.json` says which answers a run gave and what it could not answer. Files are never changed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ood_bench.canonical import canonical_json, sha256_of
from ood_bench.errors import IntegrityError
from ood_bench.files import read_json, write_json
from ood_bench.home import Home
from ood_bench.store.records import Provenance, Run
from ood_bench.store.store import TOLERANCE, Store
from ood_bench.tasks.row import Value

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerKey:
    """Which answer: equal keys must have equal values. `params` are resolved."""

    task: str
    method: str
    version: str
    params: Mapping[str, object]
    bank_sha256: str  # the bank that was asked
    fit_sha256: str | None = None
    val_sha256: str | None = None
    head_sha256: str | None = None
    second_sha256: str | None = None  # the other bank, where two are compared

    @property
    def sha256(self) -> str:
        """The name of the answer: the hash of the canonical JSON of the fields that are set."""
        return sha256_of({"schema": 1, **{k: v for k, v in asdict(self).items() if v is not None}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a method says about one bank."""

    key: AnswerKey
    spec: str
    model: str
    model_seed: int | None
    set: str
    n: int
    values: Mapping[str, Value]
    provenance: Provenance
    learned: Mapping[str, object] | None = None  # values that the fit or the estimate chose
    tables: Mapping[str, Sequence[float | None]] | None = None  # columns of a diagram
    seconds: float | None = None
    origin: str = "ours"
    plugin_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why a method has no answer: for every set, or for `set` alone."""

    method: str  # the spec, as asked for
    reason: str
    failed: bool = False
    set: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """What one run answered, by task."""

    run: str
    suite: str
    model: str
    model_seed: int | None
    answers: Mapping[str, Sequence[str]]  # task -> hashes of answer keys
    unanswered: Mapping[str, Sequence[Unanswered]]


class Answers:
    """The answers below one home. Holds no state: every call reads the files."""

    def __init__(self, home: Home) -> None:
        self.folder = home.root / "tasks"

    def put(self, answer: Answer) -> None:
        """Keep an answer; the same again is a no-op, other values under its key are an IntegrityError."""
        kept = self.get(answer.key.sha256)
        if kept is None:
            data = {**asdict(answer), "schema": SCHEMA, "sha256": answer.key.sha256}
            write_json(self._path(answer.key.sha256), data)
            return
        for name, value in answer.values.items():
            if not _agree(value, kept.values.get(name)):
                raise IntegrityError(
                    f"{answer.spec} on {answer.model}, set {answer.set}: two computations of one key should agree to "
                    f"{TOLERANCE:g} relative, but {name} is {value} where {kept.values.get(name)} is stored in "
                    f"{self._path(answer.key.sha256)}; raise the method's version if its formula changed"
                )

    def get(self, key_sha256: str) -> Answer | None:
        """The answer of that key, None where there is none."""
        path = self._path(key_sha256)
        return _read_answer(path) if path.exists() else None

    def put_run(self, run: TaskRun) -> None:
        """Keep what a run answered."""
        write_json(self.folder / "runs" / f"{run.run}.json", {**asdict(run), "schema": SCHEMA})

    def run(self, id: str) -> TaskRun | None:
        """What the run of that id answered; None where it had no such task."""
        path = self.folder / "runs" / f"{id}.json"
        return _read_run(path) if path.exists() else None

    def _path(self, key_sha256: str) -> Path:
        return self.folder / key_sha256[:2] / f"{key_sha256}.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is known of a task for one checkpoint: the latest answer of each method on each set, and what is missing."""

    model: str
    model_seed: int | None
    answers: tuple[Answer, ...]
    unanswered: tuple[Unanswered, ...]


def checkpoints(store: Store, suite: str, task: str, run: Run | None, models: Collection[str]) -> Iterator[Checkpoint]:
    """The answers to a task, by checkpoint: those of one run, or the latest of all runs of the suite."""
    answers = Answers(store.home)
    runs = [run] if run is not None else [one for one in store.runs() if one.suite == suite]
    found: dict[tuple[str, int | None], dict[tuple[str, str], Answer]] = {}
    missing: dict[tuple[str, int | None], dict[str, tuple[Unanswered, ...]]] = {}
    for one in runs:
        told = answers.run(one.id)
        if told is None or task not in told.answers or (models and one.model not in models):
            continue
        place = one.model, one.model_seed
        mine, reasons = found.setdefault(place, {}), missing.setdefault(place, {})
        # What was answered for a bank that has been replaced since is no answer for the set as it is now.
        stale = [key for key, answer in mine.items() if one.banks.get(key[1]) not in (None, answer.key.bank_sha256)]
        for key in stale:
            del mine[key]
        for sha256 in told.answers[task]:
            answer = answers.get(sha256)
            if answer is not None:
                mine[_question(answer), answer.set] = answer
                reasons.pop(answer.spec, None)
        for entry in told.unanswered.get(task, ()):
            reasons[entry.method] = tuple(e for e in told.unanswered[task] if e.method == entry.method)
    for place in sorted(found, key=lambda place: (place[0], place[1] or 0)):
        reasons_here = tuple(entry for entries in missing[place].values() for entry in entries)
        yield Checkpoint(*place, tuple(found[place].values()), reasons_here)


def _question(answer: Answer) -> str:
    return canonical_json([answer.key.method, answer.key.params, answer.spec])


def _agree(new: Value, old: Value) -> bool:
    if isinstance(new, int | float) and isinstance(old, int | float):
        return math.isclose(new, old, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return new == old


def _read_answer(path: Path) -> Answer:
    data = _checked(path, "an answer")
    try:
        data.pop("sha256")
        answer = Answer(**{**data, "key": AnswerKey(**data["key"])})
    except (TypeError, KeyError) as error:
        raise _damaged(path, "an answer", error) from error
    if answer.key.sha256 != path.stem:
        raise IntegrityError(f"the answer {path} should hold the key of its name; it was edited or renamed: remove it")
    return answer


def _read_run(path: Path) -> TaskRun:
    data = _checked(path, "a run's answers")
    try:
        known = {field.name for field in fields(TaskRun)}
        unanswered = {task: [Unanswered(**entry) for entry in entries] for task, entries in data["unanswered"].items()}
        return TaskRun(**{k: v for k, v in data.items() if k in known} | {"unanswered": unanswered})
    except (TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, "a run's answers", error) from error


def _checked(path: Path, what: str) -> dict[str, Any]:
    data = read_json(path, what)
    schema = data.pop("schema", None)
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise IntegrityError(f"{what} should have a schema from 1 to {SCHEMA}, got {schema!r} in {path}")
    return data


def _damaged(path: Path, what: str, error: Exception) -> IntegrityError:
    return IntegrityError(f"{what} of schema {SCHEMA} was expected at {path}, but {error}; remove it and run again")
