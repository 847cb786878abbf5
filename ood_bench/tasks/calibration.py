"""Calibration: are the probabilities true, as they are and after each calibrator? Needs no torch."""

from __future__ import annotations

from ood_bench.suites import Suite
from ood_bench.tasks.answers import checkpoints
from ood_bench.tasks.row import Column, TaskRow
from ood_bench.tasks.stored import groups_of, stored_rows
from ood_bench.tasks.task import Asked, Task

COLUMNS = (
    Column("accuracy", "accuracy", "share of right predictions, after calibration", True),
    Column("confidence", "confidence", "mean of the largest probability", None, shown=False),
    Column("nll", "NLL", "mean negative log-likelihood in nats", False, "number"),
    Column("brier", "Brier", "squared error summed over classes, in [0, 2]", False, "number"),
    Column("ece", "ECE", "expected calibration error, 15 equal-width bins [lo, hi)", False),
    Column("ece_equal_mass", "ECE mass", "15 bins of equally many rows", False),
    Column("ece_classwise", "ECE class", "mean over classes of the equal-width error", False),
    Column("smooth_ece", "SmoothECE", "kernel-smoothed calibration error", False),
    Column("mce", "MCE", "largest gap of a bin", False, shown=False),
)


def unsupported(suite: Suite) -> str | None:
    """A suite needs an ID test set; that its labels are there is seen when banks are asked."""
    return None if suite.test is not None else f"suite {suite.name} names no ID test set; name one with --test"


def rows(asked: Asked) -> list[TaskRow]:
    """One row per calibrator and ID set: the test set and every shifted set."""
    return stored_rows(asked, "calibration")


def details(asked: Asked) -> dict[str, object]:
    """The reliability diagrams of the test set, as tables."""
    groups = groups_of(asked)
    return {
        "reliability": [
            {"model": answer.model, "model_seed": answer.model_seed, "calibrator": answer.spec, "set": answer.set}
            | dict(answer.tables or {})
            for checkpoint in checkpoints(asked.store, asked.suite.name, "calibration", asked.run, asked.models)
            for answer in checkpoint.answers
            if groups.get(answer.set) == "test"
        ]
    }


CALIBRATION = Task(
    name="calibration",
    title="Calibration: are the probabilities true?",
    method="calibrator",
    columns=COLUMNS,
    rank_by="nll",
    rows=rows,
    unsupported=unsupported,
    compact=lambda row: row.group == "test",
    from_scores=False,
    details=details,
)
