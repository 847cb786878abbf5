"""Accuracy estimation on shifted sets (MaNo's protocol): how well does an estimate follow the accuracy? Needs no torch.

A point is a shifted set: what an estimator says of it, unlabelled, against the accuracy that its labels give. R^2 is
Pearson's correlation squared, rho is Spearman's with its sign, MAE is that of a linear fit from the points of all other
families, so that no corruption is predicted from itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ood_bench.canonical import canonical_json
from ood_bench.metrics.correlation import Correlation, correlation
from ood_bench.metrics.ood import id_accuracy
from ood_bench.suites import Suite
from ood_bench.tasks.answers import Answer, Checkpoint, checkpoints
from ood_bench.tasks.row import Column, TaskRow, Value
from ood_bench.tasks.task import Asked, Task

SETS = "all shifted sets"  # the set of a row over all of them

COLUMNS = (
    Column("r2", "R²", "squared correlation of estimate and accuracy over the shifted sets", True, "number"),
    Column("rho", "ρ", "Spearman's rank correlation, with its sign", True, "number"),
    Column("mae", "MAE fit", "mean error of accuracies read from a linear fit on the other families", False),
    Column("mae_direct", "MAE", "mean error of the estimate itself, where it is an accuracy", False),
    Column("n_families", "families", "families of shifted sets", None, "count", shown=False),
    Column("n_softmax", "softmax", "sets on the softmax branch", None, "count"),
    Column("n_taylor", "Taylor", "sets on the Taylor branch", None, "count"),
)
NOTES = (
    "mano: sets on the two branches are not comparable with each other; R² over a mixture can be far below either.",
    "Logits are those of evaluation mode; train-mode batch-norm logits, as MaNo's code takes them, are not in a cache.",
)


def unsupported(suite: Suite) -> str | None:
    """A suite needs shifted sets."""
    if not suite.shifted:
        return f"suite {suite.name} has no shifted sets to estimate the accuracy on; name some with --shifted"
    return None


@dataclass(frozen=True, slots=True)
class Point:
    """One estimate of one set, beside its accuracy where labels tell it."""

    answer: Answer
    family: str
    accuracy: float | None

    @property
    def estimate(self) -> float:
        value = self.answer.values["estimate"]
        assert isinstance(value, int | float)  # no other is kept
        return float(value)

    @property
    def learned(self) -> Mapping[str, object]:
        return self.answer.learned or {}


def rows(asked: Asked) -> list[TaskRow]:
    """One row per estimator and checkpoint, over all shifted sets that have labels."""
    return [
        row
        for checkpoint in checkpoints(asked.store, asked.suite.name, "accuracy", asked.run, asked.models)
        for row in _rows_of(asked, checkpoint)
    ]


def details(asked: Asked) -> dict[str, object]:
    """The points behind the rows: estimate and accuracy of every set, the ID test set too."""
    return {"points": [_flat(point) for point in points(asked)]}


def points(asked: Asked) -> list[Point]:
    """Every estimate that is stored, with the accuracy beside it."""
    return [
        point
        for checkpoint in checkpoints(asked.store, asked.suite.name, "accuracy", asked.run, asked.models)
        for point in _points_of(asked, checkpoint)
    ]


def _points_of(asked: Asked, checkpoint: Checkpoint) -> list[Point]:
    suite = asked.suite
    family = {name: family for family, names in suite.shifted.items() for name in names}
    if suite.test is not None:
        family[suite.test] = "test"
    return [
        Point(answer, family[answer.set], _accuracy(asked, answer))
        for answer in checkpoint.answers
        if answer.set in family and _wanted(asked, answer.key.method, answer.spec)
    ]


def _wanted(asked: Asked, method: str, spec: str) -> bool:
    return not asked.methods or method in asked.methods or spec in asked.methods


def _accuracy(asked: Asked, answer: Answer) -> float | None:
    outcomes = asked.outcomes(answer.key.bank_sha256)
    if outcomes is None:
        return None
    known = outcomes[1] >= 0
    return id_accuracy(outcomes[0][known], outcomes[1][known])


def _rows_of(asked: Asked, checkpoint: Checkpoint) -> list[TaskRow]:
    by_method: dict[str, list[Point]] = {}
    for point in _points_of(asked, checkpoint):
        by_method.setdefault(point.answer.spec, []).append(point)
    found = [_row(asked.suite, checkpoint, members) for members in by_method.values()]
    plain = {"suite": asked.suite.name, "model": checkpoint.model, "model_seed": checkpoint.model_seed}
    found += [
        TaskRow(
            **plain,  # type: ignore[arg-type]  # names and values fit; a dict has one type for all of them
            method=entry.method.partition(":")[0],
            set=entry.set or SETS,
            group="shifted",
            status="failed" if entry.failed else "skipped",
            reason=entry.reason,
            spec=entry.method,
        )
        for entry in checkpoint.unanswered
        if _wanted(asked, entry.method.partition(":")[0], entry.method)
    ]
    return sorted(found, key=lambda row: row.spec or "")


def _row(suite: Suite, checkpoint: Checkpoint, members: Sequence[Point]) -> TaskRow:
    first = members[0].answer
    row = TaskRow(
        suite=suite.name,
        protocol=suite.protocol or None,
        model=checkpoint.model,
        model_seed=checkpoint.model_seed,
        method=first.key.method,
        params=canonical_json(first.key.params),
        set=SETS,
        group="shifted",
        version=first.key.version,
        origin=first.origin,
        ood_bench_version=first.provenance["program"],
        date=max(point.answer.provenance["time"] for point in members),
        spec=first.spec,
    )
    shifted = [point for point in members if point.family != "test" and point.accuracy is not None]
    row = replace(row, n=len(shifted))
    if len({point.family for point in shifted}) < 2 or len(shifted) < 3:
        reason = f"a correlation needs at least three labelled shifted sets of two families, got {len(shifted)}"
        return replace(row, status="skipped", reason=reason)
    estimate = np.array([point.estimate for point in shifted])
    accuracy = np.array([point.accuracy for point in shifted], dtype=np.float64)
    if np.ptp(estimate) == 0 or np.ptp(accuracy) == 0:
        what = "estimate" if np.ptp(estimate) == 0 else "accuracy"
        return replace(row, status="skipped", reason=f"the {what} is the same on every set, so nothing correlates")
    fit = correlation(estimate, accuracy, [point.family for point in shifted])
    absent = sorted({name for names in suite.shifted.values() for name in names} - {p.answer.set for p in shifted})
    mark = f"over {len(shifted)} sets, without {', '.join(absent)}" if absent else None
    return replace(row, values=_values(fit, shifted, estimate, accuracy), reason=mark)


def _values(
    fit: Correlation, shifted: Sequence[Point], estimate: Float[np.ndarray, " s"], accuracy: Float[np.ndarray, " s"]
) -> dict[str, Value]:
    branches = [point.learned.get("branch") for point in shifted]
    direct = all(point.learned.get("on_accuracy_scale") for point in shifted)
    return {
        "r2": fit.r2,
        "rho": fit.rho,
        "mae": fit.mae,
        "mae_direct": float(np.abs(estimate - accuracy).mean()) if direct else None,
        "n_families": len({point.family for point in shifted}),
        "n_softmax": branches.count("softmax") if any(branches) else None,
        "n_taylor": branches.count("taylor") if any(branches) else None,
    }


def _flat(point: Point) -> dict[str, object]:
    answer = point.answer
    return {
        "model": answer.model,
        "model_seed": answer.model_seed,
        "estimator": answer.key.method,
        "params": canonical_json(answer.key.params),
        "spec": answer.spec,
        "set": answer.set,
        "family": point.family,
        "n": answer.n,
        "estimate": point.estimate,
        "accuracy": point.accuracy,
        "learned": dict(point.learned),
    }


ACCURACY = Task(
    name="accuracy",
    title="Accuracy estimation: how accurate on an unlabelled set?",
    method="estimator",
    columns=COLUMNS,
    rank_by="r2",
    rows=rows,
    unsupported=unsupported,
    notes=NOTES,
    details=details,
    from_scores=False,
)
