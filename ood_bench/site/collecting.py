"""Everything the page shows, as one JSON document: suites, checkpoints, tables with their numbers, and where each is from.

What many numbers share (reasons, dates, hashes, versions) stands once and is named by its place; curves are packed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from ood_bench.canonical import canonical_json
from ood_bench.errors import RequestError
from ood_bench.render.columns import METRICS
from ood_bench.render.labels import printable
from ood_bench.site.drawn import RISK_X, ROC_X, drawn_risk, drawn_sets
from ood_bench.site.labels import labels_of
from ood_bench.site.methods import methods_of
from ood_bench.site.tables import Hashes, Texts
from ood_bench.statistics.families import family_of
from ood_bench.store.records import ScoreRecord
from ood_bench.store.row import MEAN, Row
from ood_bench.store.row import METRICS as METRIC_COLUMNS
from ood_bench.store.rows import rows_of_lines
from ood_bench.store.selection import Line
from ood_bench.store.store import Store
from ood_bench.store.uncertainty import with_intervals
from ood_bench.suites import Suite
from ood_bench.tasks.catalogue import OOD, chosen_tasks, get_task
from ood_bench.tasks.row import Column, TaskRow
from ood_bench.tasks.task import Asked, Task

SCHEMA = 1
DECIMALS = 6  # of a share, as in a leaderboard's CSV


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the page should hold; empty means everything."""

    models: Collection[str] = ()
    scorers: Collection[str] = ()
    tasks: Collection[str] = ()
    intervals: bool = False


class Collector:
    """One document in the making."""

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self.store, self.wanted = store, wanted
        self.texts, self.hashes, self.origins, self.checkpoints = Texts(), Hashes(), Texts(), Texts()
        self.suites: list[dict[str, object]] = []
        self.boards: list[dict[str, object]] = []
        self.scorers: set[str] = set()
        self.labels: dict[tuple[str, str, int | None], str] = {}  # of the lines of the suite at hand

    def add(self, suite: Suite) -> bool:
        """Whether there was anything stored for the suite."""
        asked = Asked(self.store, suite, None, self.wanted.models, self.wanted.scorers)
        lines = asked.lines
        if not any(line.records for line in lines):
            return False
        place = len(self.suites)
        self.suites.append(_suite(suite))
        self.scorers.update(line.scorer for line in lines)
        labels = labels_of(lines)
        self.labels = {(line.spec, line.model, line.model_seed): each for line, each in zip(lines, labels, strict=True)}
        for name in chosen_tasks(self.wanted.tasks, suite):
            if name == OOD:
                self.boards.append(self._ood(place, suite, lines, labels))
                continue
            board = self._task(place, get_task(name), get_task(name).rows(asked))
            self.boards += [board] if board["lines"] else []
        return True

    def document(self, title: str, time: str) -> dict[str, object]:
        """The finished document."""
        if not self.boards:
            raise RequestError("a page needs stored results, and there are none here; make some first: ood-bench run")
        methods = methods_of(self.scorers)
        return {
            "schema": SCHEMA,
            "title": title,
            "program": version("ood-bench"),
            "time": time,
            "rocX": [round(float(x), 6) for x in ROC_X],
            "riskX": [round(float(x), 6) for x in RISK_X],
            "suites": self.suites,
            "checkpoints": self.checkpoints.to_json(),
            "families": [family_of(name) for name in self.checkpoints.to_json()],
            "methods": {name: [each.family, each.paper, each.summary] for name, each in methods.items()},
            "boards": self.boards,
            "texts": self.texts.to_json(),
            "origins": self.origins.to_json(),
            "hashes": self.hashes.to_json(),
        }

    def _ood(self, place: int, suite: Suite, lines: Sequence[Line], labels: Sequence[str]) -> dict[str, object]:
        found = list(rows_of_lines(self.store, suite, lines))
        rows = [row for _, of_line in found for row in of_line]
        if self.wanted.intervals:
            rows = with_intervals(self.store, rows)
        width = len(rows) // len(lines)  # every line has a row for every set and every group's mean
        columns = [(group, name) for group, sets in suite.groups.items() for name in (*sets, MEAN)]
        return {
            "suite": place,
            "task": OOD,
            "title": "OOD detection",
            "metrics": [
                [m.column, m.title, m.meaning, m.higher_is_better, "percent"]
                for m in (METRICS[name] for name in METRIC_COLUMNS)
            ],
            "primary": ["auroc", f"fpr95_{suite.fpr}"],
            "columns": columns,
            "notes": [],
            "lines": [
                {
                    **self._line(suite, line, label, of_line),
                    "cells": [self._cell(row, line) for row in rows[index * width : (index + 1) * width]],
                    **self._curves(suite, line),
                }
                for index, ((line, of_line), label) in enumerate(zip(found, labels, strict=True))
            ],
        }

    def _line(self, suite: Suite, line: Line, label: str, rows: Sequence[Row]) -> dict[str, object]:
        first, inside = next(iter(line.records.values()), None), line.records.get(suite.test or "")
        accuracy = next((row.id_accuracy for row in rows if row.id_accuracy is not None), None)
        return {
            "at": self._checkpoint(line.model, line.model_seed),
            "scorer": line.scorer,
            "label": label,
            "spec": printable(line.spec),
            "params": line.params or "{}",
            "accuracy": _rounded(accuracy),
            **({} if first is None else self._record(first)),
            **({} if inside is None else {"id": self._source(inside)}),
        }

    def _record(self, record: ScoreRecord) -> dict[str, object]:
        """What all records of a line have in common."""
        key = record.key
        said = {
            "version": key.version,
            "origin": record.origin,
            "profile": record.profile,
            "tuned_on": record.tuned_on,
            "seed": key.seed,
            "precision": key.precision,
            "fit_split": key.fit_split,
            "fit_seconds": None if record.fit_seconds is None else float(f"{record.fit_seconds:.4g}"),
            "learned": canonical_json(record.learned) if record.learned else None,
        }
        hashes = {"fit": key.fit_sha256, "val": key.val_sha256, "head": key.head_sha256, "plugin": record.plugin_sha256}
        return {
            **{name: value for name, value in said.items() if value is not None},
            "inputs": {name: self.hashes.place(value) for name, value in hashes.items() if value is not None},
        }

    def _cell(self, row: Row, line: Line) -> list[object]:
        """[values, reason, n, seconds, source of the OOD scores, intervals]; without values: [0, reason]."""
        reason = self.texts.place(row.reason)
        if row.status != "ok":
            return [0, reason]
        values = [_rounded(getattr(row, name)) for name in METRIC_COLUMNS]
        seconds = None if row.score_seconds is None else float(f"{row.score_seconds:.3g}")
        source = [] if row.set == MEAN else self._source(line.records[row.set])
        intervals = [(row.interval(name)) for name in METRIC_COLUMNS] if row.intervals else []
        bounds = [0 if each is None else [_rounded(each.low), _rounded(each.high)] for each in intervals]
        return [values, reason, row.n_ood, seconds, source, bounds]

    def _source(self, record: ScoreRecord) -> list[int]:
        """[record, scores, bank, list, where and with what, when]."""
        made = record.provenance[0] if record.provenance else None
        versions = (
            "" if made is None else ", ".join(f"{name} {each}" for name, each in sorted(made["versions"].items()))
        )
        return [
            self.hashes.place(record.key.sha256),
            self.hashes.place(record.scores_sha256),
            self.hashes.place(record.key.bank_sha256),
            self.hashes.place(record.list_sha256),
            # the host's name stays at home: a page is published
            -1 if made is None else self.origins.place(f"ood-bench {made['program']}, {versions}; {made['device']}"),
            self.texts.place(record.time or None),
        ]

    def _curves(self, suite: Suite, line: Line) -> dict[str, object]:
        inside = line.records.get(suite.test or "")
        if inside is None:
            return {}
        outside = {name: line.records[name] for sets in suite.groups.values() for name in sets if name in line.records}
        risk = drawn_risk(self.store, inside)
        return {
            **({"drawn": drawn_sets(self.store, inside, outside)} if outside else {}),
            **({"risk": risk} if risk is not None else {}),
        }

    def _task(self, place: int, task: Task, rows: Iterable[TaskRow]) -> dict[str, object]:
        """A further task: its shown values on ID test sets and the means over families, not on every set."""
        shown = [column for column in task.columns if column.shown and column.unit in ("percent", "number")]
        lines: dict[tuple[object, ...], list[TaskRow]] = {}
        columns: dict[tuple[str, str], None] = {}
        everything = list(rows)
        with_mean = {row.group for row in everything if row.set == MEAN}
        for row in everything:
            if row.set == MEAN or row.group not in with_mean:
                columns.setdefault((row.group, row.set))
                identity = (row.model, row.model_seed, row.spec or row.method, row.params, row.profile, row.origin)
                lines.setdefault(identity, []).append(row)
        return {
            "suite": place,
            "task": task.name,
            "title": task.title,
            "metrics": [[c.name, c.title, c.meaning, c.higher_is_better, c.unit] for c in shown],
            "primary": [task.rank_by],
            "columns": list(columns),
            "notes": list(task.notes),
            "lines": [self._task_line(members, shown, columns) for members in lines.values()],
        }

    def _task_line(
        self, rows: Sequence[TaskRow], shown: Sequence[Column], columns: Collection[tuple[str, str]]
    ) -> dict[str, object]:
        first, by_column = rows[0], {(row.group, row.set): row for row in rows}
        self.scorers.add(first.method)
        return {
            "at": self._checkpoint(first.model, first.model_seed),
            "scorer": first.method,
            "label": self.labels.get((first.spec or "", first.model, first.model_seed), printable(first.method)),
            "spec": printable(first.spec or first.method),
            "params": first.params or "{}",
            **({"version": first.version} if first.version else {}),
            **({"origin": first.origin} if first.origin else {}),
            "inputs": {},
            "cells": [self._task_cell(by_column.get(column), shown) for column in columns],
        }

    def _task_cell(self, row: TaskRow | None, shown: Sequence[Column]) -> list[object]:
        """[values, reason, n, None, [inputs, scores, when]]; without values: [0, reason]."""
        if row is None:
            return [0, -1]
        reason = self.texts.place(row.reason)
        if row.status != "ok":
            return [0, reason]
        values = [_rounded(value) if isinstance(value := row.values.get(c.name), int | float) else None for c in shown]
        sums = [self.hashes.place(row.inputs_sha256), self.hashes.place(row.scores_sha256)]
        return [values, reason, row.n, None, [*sums, self.texts.place(row.date)], []]

    def _checkpoint(self, model: str, seed: int | None) -> int:
        return self.checkpoints.place(printable(model if seed is None else f"{model}@{seed}"))


def _suite(suite: Suite) -> dict[str, object]:
    named = {"name": suite.name, "title": suite.title, "paper": suite.paper, "protocol": suite.protocol}
    counts = {name: spec.count for name, spec in suite.sets.items() if spec.count is not None}
    return {**named, "fpr": suite.fpr, "id": suite.test, "fit": suite.fit, "val": suite.val, "counts": counts}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DECIMALS)
