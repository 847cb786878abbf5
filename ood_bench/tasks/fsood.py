"""Full-spectrum OOD detection, as OpenOOD defines it: shifted ID rows are ID rows. Needs no torch.

The scores of the ID test set and of all shifted ID sets are pooled, every row counting once, and compared with each OOD
set. A suite without shifted sets (CIFAR-100 in OpenOOD) has no full spectrum and is skipped with that reason.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from ood_bench.metrics.ood import SortedScores, ood_metrics
from ood_bench.store.records import ScoreRecord
from ood_bench.store.row import MEAN
from ood_bench.store.selection import Line
from ood_bench.suites import Suite
from ood_bench.tasks import scod
from ood_bench.tasks.lines import empty, mean_row, row_of, why_missing
from ood_bench.tasks.row import Column, TaskRow
from ood_bench.tasks.selective import judged
from ood_bench.tasks.task import Asked, Task

COLUMNS = (
    Column("auroc", "AUROC", "chance that an ID or shifted ID row scores higher than an OOD row", True),
    Column("fpr95_id_positive", "FPR95 ID+", "share of OOD accepted with 95 % of ID and shifted ID kept", False),
    Column("fpr95_ood_positive", "FPR95 OOD+", "share of ID and shifted ID rejected with 95 % of OOD caught", False),
    Column("aupr_in", "AUPR in", "average precision, ID and shifted ID positive", True, shown=False),
    Column("aupr_out", "AUPR out", "average precision, OOD positive", True, shown=False),
    Column("aupr_in_trapezoid", "AUPR in tr.", "trapezoid, as OpenOOD prints it", True, shown=False),
    Column("aupr_out_trapezoid", "AUPR out tr.", "trapezoid, as OpenOOD prints it", True, shown=False),
    Column("id_accuracy", "accuracy", "share of right predictions over ID and shifted ID", None, shown=False),
    Column("n_id", "ID rows", "rows of the ID test set", None, "count", shown=False),
    Column("n_shifted", "shifted rows", "rows of the shifted ID sets", None, "count", shown=False),
)


def unsupported(suite: Suite) -> str | None:
    """A suite needs shifted ID sets beside its OOD sets."""
    if not suite.shifted:
        return (
            f"suite {suite.name} has no shifted ID sets, so its full spectrum is the OOD task; name some with --shifted"
        )
    return scod.unsupported(suite)


def rows(asked: Asked) -> list[TaskRow]:
    """One row per scorer, checkpoint and OOD set, and the mean over each group."""
    if unsupported(asked.suite) is not None:
        return []
    return [row for line in asked.lines for row in _rows_of_line(asked, line)]


def _rows_of_line(asked: Asked, line: Line) -> list[TaskRow]:
    suite = asked.suite
    names = [suite.test or "", *(name for members in suite.shifted.values() for name in members)]
    absent = [name for name in names if name not in line.records]
    if absent:
        group = next(iter(suite.groups))
        return [empty(row_of(suite, line, MEAN, group, []), *why_missing(suite, line, absent))]
    records = [line.records[name] for name in names]
    scores = [asked.store.scores(record) for record in records]
    inside = SortedScores(np.concatenate(scores), "ID and shifted ID scores")
    shared = {
        "id_accuracy": _accuracy(asked, records),
        "n_id": len(scores[0]),
        "n_shifted": sum(map(len, scores[1:])),
    }
    found: list[TaskRow] = []
    for group, members in suite.groups.items():
        of_group = [_row(asked, line, records, inside, shared, name, group) for name in members]
        mean = mean_row(of_group[0], of_group, [column.name for column in COLUMNS])
        if mean.status == "ok":
            mean = replace(mean, values={**mean.values, **shared})
        found += [*of_group, mean]
    return found


def _row(
    asked: Asked,
    line: Line,
    records: list[ScoreRecord],
    inside: SortedScores,
    shared: dict[str, float | int | None],
    name: str,
    group: str,
) -> TaskRow:
    outside = line.records.get(name)
    if outside is None:
        return empty(row_of(asked.suite, line, name, group, []), *why_missing(asked.suite, line, [name]))
    row = row_of(asked.suite, line, name, group, [*records, outside])
    ood = SortedScores(asked.store.scores(outside), outside.what)
    if len(inside.distinct) == len(ood.distinct) == 1 and inside.distinct[0] == ood.distinct[0]:
        return empty(row, "failed", f"the score is {ood.distinct[0]:g} for every sample, so it ranks nothing")
    marks = "; ".join(dict.fromkeys(mark for record in (outside, records[0]) for mark in record.marks)) or None
    return replace(row, n=inside.n + ood.n, values={**asdict(ood_metrics(inside, ood)), **shared}, reason=marks)


def _accuracy(asked: Asked, records: list[ScoreRecord]) -> float | None:
    """Over all rows, where every set has labels."""
    found = [judged(asked, record) for record in records]
    if any(reason is not None for _, _, reason in found):
        return None
    return float(np.concatenate([correct for correct, _, _ in found]).mean())


FSOOD = Task(
    name="fsood",
    title="Full-spectrum OOD detection: shifted ID is ID",
    method="scorer",
    columns=COLUMNS,
    rank_by="auroc",
    rows=rows,
    unsupported=unsupported,
    compact=lambda row: row.set == MEAN,
)
