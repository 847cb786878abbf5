"""Selective prediction: is this prediction wrong? Every scorer is a confidence. Needs no torch."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from ood_bench.metrics.selective import selective_metrics
from ood_bench.store.records import ScoreRecord
from ood_bench.store.selection import Line
from ood_bench.suites import Suite
from ood_bench.tasks.lines import empty, mean_row, row_of, why_missing
from ood_bench.tasks.row import Column, TaskRow
from ood_bench.tasks.task import Asked, Task

COLUMNS = (
    Column("accuracy", "accuracy", "share of right predictions", unit="percent", shown=False),
    Column("aurc", "AURC", "area under the risk-coverage curve, equal scores merged (fd-shifts)", False),
    Column("aurc_trapezoid", "AURC trapezoid", "from (0, 0), row by row (Cattelan & Silva)", False, shown=False),
    Column(
        "aurc_torch_uncertainty", "AURC t-u", "from 1/n, divided by 1 - 1/n (torch-uncertainty)", False, shown=False
    ),
    Column("aurc_mean", "AURC mean", "mean of the selective risks (Geifman et al.)", False, shown=False),
    Column("eaurc", "E-AURC", "AURC above the best for these predictions", False, shown=False),
    Column("naurc", "NAURC", "E-AURC over that of a random order: 0 is the best ranking, 1 a random one", False),
    Column("augrc", "AUGRC", "area under the generalized risk-coverage curve", False),
    Column("eaugrc", "E-AUGRC", "AUGRC above the best for these predictions", False, shown=False),
    Column("failure_auroc", "failure AUROC", "chance that a right prediction scores higher than a wrong one", True),
    Column("failure_aupr_error", "AUPR error", "average precision, errors positive", True, shown=False),
    Column("failure_aupr_success", "AUPR success", "average precision, right predictions positive", True, shown=False),
    Column(
        "failure_fpr95",
        "failure FPR95",
        "errors positive: share of right predictions rejected where at least 95 % of errors are",
        False,
    ),
    Column("coverage_at_5_risk", "cov@5risk", "largest coverage whose selective risk is at most 5 %", True),
    Column("risk_at_80_coverage", "risk@80cov", "selective risk at 80 % coverage", False, shown=False),
)


def unsupported(suite: Suite) -> str | None:
    """A suite needs ID sets whose labels say which predictions are right."""
    if suite.test is None and not suite.shifted:
        return f"suite {suite.name} names no ID test set and no shifted sets; name one with --test"
    return None


def rows(asked: Asked) -> list[TaskRow]:
    """One row per scorer, checkpoint and labelled ID set: the test set, every shifted set, the mean of each family."""
    return [row for line in asked.lines for row in _rows_of_line(asked, line)]


def _rows_of_line(asked: Asked, line: Line) -> list[TaskRow]:
    suite = asked.suite
    found = [] if suite.test is None else [_row(asked, line, suite.test, "test")]
    if found and not line.records:
        return found  # one reason for the line is enough
    for family, names in suite.shifted.items():
        there = [name for name in names if name in line.records]
        members = [_row(asked, line, name, family) for name in there]
        found += members
        if members and len(there) == len(names) > 1:
            found.append(mean_row(members[0], members, [column.name for column in COLUMNS]))
    return found


def _row(asked: Asked, line: Line, name: str, group: str) -> TaskRow:
    record = line.records.get(name)
    if record is None:
        row = row_of(asked.suite, line, name, group, [])
        return empty(row, *why_missing(asked.suite, line, [name]))
    row = row_of(asked.suite, line, name, group, [record])
    correct, scores, reason = judged(asked, record)
    if reason is not None:
        return empty(row, "skipped", reason)
    metrics = asdict(selective_metrics(scores, correct))
    metrics.pop("n")
    undefined = None
    if metrics["failure_auroc"] is None:
        undefined = f"{'every' if correct.all() else 'no'} prediction on {name} is right, so there is nothing to rank"
    return replace(
        row, n=len(scores), values=metrics, reason="; ".join([*record.marks, *filter(None, [undefined])]) or None
    )


def judged(asked: Asked, record: ScoreRecord) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Which predictions are right, and the scores, of the labelled rows of a record's bank; or why that is not known."""
    outcomes = asked.outcomes(record.key.bank_sha256)
    nothing = np.empty(0, dtype=bool)
    if outcomes is None:
        reason = f"{record.set} has no labels or no logits, so nobody knows which predictions are right"
        return nothing, np.empty(0), reason
    predicted, labels = outcomes
    scores = asked.store.scores(record)
    known = labels >= 0
    return (predicted == labels)[known], scores[known], None


SELECTIVE = Task(
    name="selective",
    title="Selective prediction: is this prediction wrong?",
    method="scorer",
    columns=COLUMNS,
    rank_by="aurc",
    rows=rows,
    unsupported=unsupported,
    compact=lambda row: row.group == "test",
)
