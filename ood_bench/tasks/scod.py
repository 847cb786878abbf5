"""SCOD: one threshold against OOD inputs and wrong predictions together, and the open-set curve. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from ood_bench.metrics.scod import CCR_RATES, ccr_at_fpr, oscr, scod_metrics
from ood_bench.store.records import ScoreRecord
from ood_bench.store.row import MEAN
from ood_bench.store.selection import Line
from ood_bench.suites import Suite
from ood_bench.tasks.lines import empty, mean_row, row_of, why_missing
from ood_bench.tasks.row import Column, TaskRow
from ood_bench.tasks.selective import judged
from ood_bench.tasks.task import Asked, Task

COLUMNS = (
    Column("auroc", "AUROC", "chance that a right ID row scores higher than a wrong or an OOD one", True),
    Column(
        "fpr95_correct_positive",
        "FPR95 right+",
        "share of the wrong or OOD accepted with at least 95 % of the right kept",
        False,
    ),
    Column(
        "fpr95_error_positive",
        "FPR95 wrong+",
        "share of the right rejected with at least 95 % of the wrong or OOD caught",
        False,
        shown=False,
    ),
    Column("aupr_success", "AUPR right", "average precision, right ID rows positive", True, shown=False),
    Column("aupr_error", "AUPR wrong", "average precision, wrong or OOD rows positive", True, shown=False),
    Column("aurc", "AURC", "risk-coverage area, ID and OOD rows pooled so that each is half of the stream", False),
    Column("augrc", "AUGRC", "likewise, generalized risk", False, shown=False),
    Column("ood_weight", "OOD weight", "of an OOD row in AURC and AUGRC", None, "number", shown=False),
    Column("oscr", "OSCR", "area under right classification over OOD acceptance", True),
    *(
        Column(
            f"ccr_at_fpr_{rate:g}",
            f"CCR@{rate:g}",
            f"ID rows accepted and right with at most {100 * rate:g} % of OOD accepted",
            True,
            shown=False,
        )
        for rate in CCR_RATES
    ),
)


def unsupported(suite: Suite) -> str | None:
    """A suite needs an ID test set and OOD sets."""
    if suite.test is None or not suite.groups:
        lacking = (
            "ID test set; name one with --test" if suite.test is None else "OOD sets; name some with --near or --far"
        )
        return f"suite {suite.name} names no {lacking}"
    return None


def rows(asked: Asked) -> list[TaskRow]:
    """One row per scorer, checkpoint and OOD set, and the mean over each group."""
    return [row for line in asked.lines for row in _rows_of_line(asked, line)]


def _rows_of_line(asked: Asked, line: Line) -> list[TaskRow]:
    inside = line.records.get(asked.suite.test or "")
    if inside is None:
        return [_missing(asked, line, next(iter(asked.suite.groups)), MEAN, [asked.suite.test or ""])]
    correct, scores, reason = judged(asked, inside)
    found: list[TaskRow] = []
    for group, names in asked.suite.groups.items():
        members = [_row(asked, line, (inside, correct, scores, reason), name, group) for name in names]
        found += [*members, mean_row(members[0], members, [column.name for column in COLUMNS])]
    return found


def _row(
    asked: Asked, line: Line, inside: tuple[ScoreRecord, np.ndarray, np.ndarray, str | None], name: str, group: str
) -> TaskRow:
    record, correct, scores, reason = inside
    outside = line.records.get(name)
    if outside is None:
        return _missing(asked, line, group, name, [name])
    row = row_of(asked.suite, line, name, group, [record, outside])
    if reason is None and not correct.any():
        reason = f"no prediction on {record.set} is right"
    if reason is not None:
        return empty(row, "skipped", reason)
    ood = asked.store.scores(outside)
    metrics = asdict(scod_metrics(scores, correct, ood, ood_weight=len(scores) / len(ood)))
    metrics["oscr"] = oscr(scores, correct, ood)
    metrics |= {f"ccr_at_fpr_{rate:g}": ccr_at_fpr(scores, correct, ood, rate) for rate in CCR_RATES}
    marks = "; ".join(dict.fromkeys([*outside.marks, *record.marks])) or None
    return replace(row, n=len(scores) + len(ood), values=metrics, reason=marks)


def _missing(asked: Asked, line: Line, group: str, name: str, absent: list[str]) -> TaskRow:
    return empty(row_of(asked.suite, line, name, group, []), *why_missing(asked.suite, line, absent))


SCOD = Task(
    name="scod",
    title="Wrong or out-of-distribution: one threshold against both (SCOD)",
    method="scorer",
    columns=COLUMNS,
    rank_by="auroc",
    rows=rows,
    unsupported=unsupported,
    compact=lambda row: row.set == MEAN,
)
