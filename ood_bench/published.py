"""The figures that a paper prints, beside ours and with the difference: what a reviewer compares. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ood_bench.store.row import MEAN, Row
from ood_bench.suites import Published, Suite

_NUMBER = re.compile(r"[-+]?\d*\.?\d+")
_AS_PRINTED = frozenset({"r2", "spearman"})  # printed as they are; all else in percent


@dataclass(frozen=True, slots=True)
class Comparison:
    """One printed figure and ours. `ours` is None where we have no such row; units are those of the paper."""

    published: Published
    printed: float
    ours: float | None
    row: Row | None = None

    @property
    def difference(self) -> float | None:
        """Ours minus the printed one."""
        return None if self.ours is None else self.ours - self.printed

    def item(self) -> dict[str, object]:
        """For JSON and tables."""
        figure = self.published
        return {
            "table": figure.table,
            "model": figure.model,
            "scorer": figure.scorer,
            "set": figure.set or (f"mean of {figure.group}" if figure.group else None),
            "metric": figure.metric,
            "orientation": figure.orientation,
            "printed": figure.value,
            "ours": None if self.ours is None else round(self.ours, 4),
            "difference": None if self.difference is None else round(self.difference, 4),
            "profile": None if self.row is None else self.row.profile,
            "params": None if self.row is None else self.row.params,
        }


COLUMNS = ("table", "model", "scorer", "set", "metric", "printed", "ours", "difference", "profile")


def compare(suite: Suite, rows: Iterable[Row], others: Mapping[Published, float] | None = None) -> list[Comparison]:
    """Every printed figure of the suite, once for each row of ours that answers it, in the order of the paper.

    `others` are our values of figures that no row holds (R^2 of an estimator, full-spectrum AUROC), in units of the paper.
    """
    known = list(rows)
    found: list[Comparison] = []
    for figure in suite.published:
        printed = float(_first_number(figure.value))
        if others and figure in others:
            found.append(Comparison(figure, printed, others[figure]))
            continue
        answers = [(row, value) for row in known if (value := _value(row, figure)) is not None]
        if not answers:
            found.append(Comparison(figure, printed, None))
        found += [Comparison(figure, printed, 100 * value, row) for row, value in _once(answers, figure)]
    return found


def _value(row: Row, figure: Published) -> float | None:
    """The share that a row gives for a figure; None where it is about something else."""
    if row.model != figure.model or row.status != "ok" or figure.metric in _AS_PRINTED:
        return None
    if figure.metric == "id_accuracy":
        return row.id_accuracy
    place = row.set == figure.set if figure.set else row.set == MEAN and row.group == figure.group
    if not place or row.scorer not in (figure.scorer, f"{figure.scorer}+energy"):
        return None
    if figure.metric == "fpr95":
        return row.fpr95_id_positive if figure.orientation == "id_positive" else row.fpr95_ood_positive
    return {"auroc": row.auroc, "aupr_in": row.aupr_in, "aupr_out": row.aupr_out}.get(figure.metric)


def _once(answers: Sequence[tuple[Row, float]], figure: Published) -> list[tuple[Row, float]]:
    """The accuracy is the same in every row of one checkpoint."""
    if figure.metric != "id_accuracy":
        return list(answers)
    by_seed = {row.model_seed: (row, value) for row, value in answers}
    return list(by_seed.values())


def _first_number(value: str) -> str:
    """The figure itself, without the spread that may follow it."""
    match = _NUMBER.search(value)
    assert match is not None, f"a published figure is a number, got {value!r}"
    return match[0]
