"""Abstention: is an "I don't know" given where it should be? Banks of option log-likelihoods. Needs no torch."""

from __future__ import annotations

from ood_bench.suites import Suite
from ood_bench.tasks.row import Column, TaskRow
from ood_bench.tasks.stored import stored_rows
from ood_bench.tasks.task import Asked, Task

COLUMNS = (
    Column("dcs", "DCS", "mean of (l_c p_c - l_w p_w)(1 - p_idk), the paper's form", True, "number"),
    Column(
        "dcs_official", "DCS code", "without the factor (1 - p_idk), as the authors' code prints it", True, "number"
    ),
    Column("ternary", "ternary", "mean gain: l_c right, -l_w wrong, 0 withheld", True, "number"),
    Column("cwa", "CWA", "confidence-weighted accuracy: mean of the confidence of right answers", True, shown=False),
    Column("accuracy", "accuracy", "share of questions whose top option is the label", True),
    Column("coverage", "coverage", "share of questions answered", None),
    Column("accuracy_answered", "acc. answered", "share of right ones among the answers", True, shown=False),
    Column("p_abstain", "p idk", "mean probability of abstaining", None, shown=False),
    Column("threshold", "threshold", "belief above which guessing pays, l_w / (l_c + l_w)", None, shown=False),
    Column("ternary_at_threshold", "ternary at t", "mean gain, answering where the belief exceeds it", True, "number"),
    Column("coverage_at_threshold", "cov. at t", "share of questions answered then", None, shown=False),
)


def unsupported(suite: Suite) -> str | None:
    """A suite needs an ID test set; that there is an abstain option is seen when banks are asked."""
    return None if suite.test is not None else f"suite {suite.name} names no ID test set; name one with --test"


def rows(asked: Asked) -> list[TaskRow]:
    """One row per pair of loadings and ID set."""
    return stored_rows(asked, "abstention")


ABSTENTION = Task(
    name="abstention",
    title='Abstention: is "I don\'t know" said where it should be?',
    method="method",
    columns=COLUMNS,
    rank_by="dcs",
    rows=rows,
    unsupported=unsupported,
    compact=lambda row: row.group == "test",
    from_scores=False,
)
