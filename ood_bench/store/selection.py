"""Which records of a store answer a suite: the lines of its table, each with its records by set and its reasons.

A set of one name may have had several banks. Where runs of the suite are kept, the latest bank that one of them used
for a set counts; where there is none, the set's name and the hash of its list decide. Of several versions of a scorer
with the same parameters the one computed last counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ood_bench.canonical import canonical_json
from ood_bench.store.records import Run, ScoreRecord, Skipped
from ood_bench.store.store import Store
from ood_bench.store.tuned import marked
from ood_bench.suites import Suite, list_suites

_PLUS = re.compile(r"(?<![0-9.][eE])\+")  # not the plus of a number such as 1e+5


@dataclass(frozen=True, slots=True)
class Line:
    """One scorer with its parameters on one checkpoint: its records by set, and why others are not there."""

    spec: str
    model: str
    model_seed: int | None
    records: Mapping[str, ScoreRecord]
    skipped: tuple[Skipped, ...] = ()
    failed: tuple[Skipped, ...] = ()

    @property
    def scorer(self) -> str:
        """The registered name, as records have it; from the spec where there is no record."""
        return next((r.key.scorer for r in self.records.values()), "+".join(name for name, _ in _parts(self.spec)))

    @property
    def params(self) -> str | None:
        """Canonical JSON of the resolved parameters; of those that were asked for where there is no record."""
        for record in self.records.values():
            return canonical_json(record.key.params)
        parts = _parts(self.spec)
        prefixes = [f"{name}." if len(parts) > 1 else "" for name, _ in parts]  # as resolved parameters have them
        asked = {
            prefix + key: value for prefix, (_, params) in zip(prefixes, parts, strict=True) for key, value in params
        }
        return canonical_json(asked) if asked else None


@dataclass(slots=True)
class _Checkpoint:
    """What the runs of a suite say about one checkpoint, the latest word on each set and scorer last."""

    banks: dict[str, str] = field(default_factory=dict)
    head_sha256: str | None = None
    skipped: dict[str, tuple[Skipped, ...]] = field(default_factory=dict)
    failed: dict[str, tuple[Skipped, ...]] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        self.banks.update(run.banks)
        self.head_sha256 = run.head_sha256 or self.head_sha256
        for entry in (*run.skipped, *run.failed):
            self.skipped[entry.scorer] = tuple(e for e in run.skipped if e.scorer == entry.scorer)
            self.failed[entry.scorer] = tuple(e for e in run.failed if e.scorer == entry.scorer)


def select(
    store: Store, suite: Suite, run: Run | None, models: Collection[str], scorers: Collection[str]
) -> list[Line]:
    """The lines of the suite's table: those of one run, or of everything that is stored."""
    runs = [run] if run is not None else [run for run in store.runs() if run.suite == suite.name]
    checkpoints: dict[tuple[str, int | None], _Checkpoint] = {}
    for one in runs:
        checkpoints.setdefault((one.model, one.model_seed), _Checkpoint()).add(one)
    grouped: dict[tuple[str, int | None], list[ScoreRecord]] = {place: [] for place in checkpoints}
    for record in marked(_records(store, run), runs, keep_curves=run is not None):
        place = record.model, record.model_seed
        if _belongs(record, suite, checkpoints.get(place, _Checkpoint())):
            grouped.setdefault(place, []).append(record)
    lines = [
        line
        for place, records in sorted(grouped.items(), key=lambda item: (item[0][0], item[0][1] or 0))
        for line in _lines(place, records, checkpoints.get(place, _Checkpoint()))
    ]
    return [
        line
        for line in lines
        if (not models or line.model in models) and (not scorers or line.scorer in scorers or line.spec in scorers)
    ]


def suites_with_records(store: Store) -> list[Suite]:
    """The suites that something stored belongs to: those of the runs, and those whose ID test set was scored."""
    ran = {run.suite for run in store.runs()}
    scored = {(record.set, record.list_sha256) for record in store.records()}
    suites = list_suites(store.home)
    return [
        suite
        for suite in suites
        if suite.name in ran or (suite.test is not None and (suite.test, suite.sets[suite.test].list_sha256) in scored)
    ]


def _records(store: Store, run: Run | None) -> Iterable[ScoreRecord]:
    if run is None:
        return store.records()
    return (record for key in run.records if (record := store.get(key)) is not None)


def _belongs(record: ScoreRecord, suite: Suite, checkpoint: _Checkpoint) -> bool:
    """Whether the record scores a set of the suite, fitted on the suite's sets."""
    tables = (*suite.groups.values(), *suite.shifted.values())
    if record.set != suite.test and not any(record.set in sets for sets in tables):
        return False
    banks, key, spec = checkpoint.banks, record.key, suite.sets.get(record.set)
    if record.set in banks and key.bank_sha256 != banks[record.set]:
        return False
    listed = record.list_sha256, spec.list_sha256 if spec else None
    if record.set not in banks and None not in listed and listed[0] != listed[1]:
        return False
    fits = {banks[name] for name in (suite.fit, suite.val) if name in banks}
    if fits and not {key.fit_sha256, key.val_sha256} <= {None, *fits}:
        return False
    return key.head_sha256 is None or checkpoint.head_sha256 in (None, key.head_sha256)


def _lines(place: tuple[str, int | None], records: list[ScoreRecord], checkpoint: _Checkpoint) -> list[Line]:
    """Records of one checkpoint by what was asked for, the latest version of each; then what has no record at all."""
    asked: dict[str, dict[str, list[ScoreRecord]]] = {}
    for record in records:
        key = record.key
        # what somebody else computed under one of our names is a line of its own
        origin = record.origin if record.origin in ("imported", "external") else None
        question = canonical_json([key.scorer, key.params, key.fit_split, key.seed, key.precision, origin])
        answer = canonical_json([key.version, record.plugin_sha256, key.fit_sha256, key.val_sha256, key.head_sha256])
        asked.setdefault(question, {}).setdefault(answer, []).append(record)
    latest = [max(answers.values(), key=lambda found: max(r.time for r in found)) for answers in asked.values()]
    lines = [
        Line(
            found[0].spec,
            *place,
            {record.set: record for record in sorted(found, key=lambda r: r.time)},
            checkpoint.skipped.get(found[0].spec, ()),
            checkpoint.failed.get(found[0].spec, ()),
        )
        for found in latest
    ]
    answered = {line.spec for line in lines}
    empty = [
        Line(spec, *place, {}, checkpoint.skipped[spec], checkpoint.failed[spec])
        for spec in checkpoint.skipped
        if spec not in answered
    ]
    return sorted([*lines, *empty], key=lambda line: (line.scorer, line.params or "", line.spec))


def _parts(spec: str) -> list[tuple[str, list[tuple[str, object]]]]:
    """The names in a canonical spec with their parameters: "react:q=0.99+vim" -> react with q, vim with none."""
    parts: list[tuple[str, list[tuple[str, object]]]] = []
    for part in _PLUS.split(spec):
        name, _, tail = part.rpartition(":")
        if "=" in tail and name:
            pairs = [pair.partition("=") for pair in tail.split(",")]
            parts.append((name, [(key, _value(value)) for key, _, value in pairs]))
        else:
            parts.append((part, []))
    return parts


def _value(text: str) -> object:
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text
