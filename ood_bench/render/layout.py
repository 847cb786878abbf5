"""What a table says, before any format: panels of lines and columns, best and second best, footnotes, reasons.

The only place where shares become percent. Every text from outside is made printable here; formats add their escapes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ood_bench.errors import RequestError
from ood_bench.render.columns import Metric
from ood_bench.render.labels import caption, labelled, printable, reasons
from ood_bench.store.row import MEAN, Row
from ood_bench.store.seeds import DDOF

ABSENT = "–"
DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Cell:
    """One number as printed; `rank` is 1 for the best of its column, 2 for the second best, 0 for the rest."""

    text: str
    rank: Literal[0, 1, 2] = 0
    sign: str = ""  # of the footnote


@dataclass(frozen=True, slots=True)
class Block:
    """The columns of one set or of one group's mean."""

    title: str
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One scorer: its cells by block."""

    label: str
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """The table of one checkpoint on one suite, with its footnotes and the reasons for what is not in it."""

    caption: str
    blocks: tuple[Block, ...]
    lines: tuple[Line, ...]
    footnotes: tuple[tuple[str, str], ...]  # sign, text
    reasons: tuple[str, ...]
    who: str = "scorer"  # what a line is: heads the first column


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything a format prints."""

    panels: tuple[Panel, ...]
    legend: tuple[str, ...]


def arrange(rows: Iterable[Row], metrics: Sequence[Metric], *, detail: bool, ddof: int = DDOF) -> Layout:
    """Rows as panels, one per suite and checkpoint; with `detail` every set has its columns, else only the means."""
    panels: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        panels.setdefault((row.suite, row.protocol, row.model, row.model_seed), []).append(row)
    if not panels:
        raise RequestError("a table needs at least one row, got none; run the suite first: ood-bench run")
    everything = [row for members in panels.values() for row in members]
    legend = ["In percent. " + "; ".join(metric.meaning for metric in metrics) + "."]
    if any(row.auroc_std is not None for row in everything):
        legend.append(f"±: standard deviation over seeds (ddof {ddof}); other columns are means over them.")
    legend += _about_intervals(everything)
    return Layout(tuple(_panel(members, metrics, detail) for members in panels.values()), tuple(legend))


def _about_intervals(rows: Iterable[Row]) -> list[str]:
    intervals = [interval for row in rows for _, interval in row.intervals]
    if not intervals:
        return []
    meaning = {
        "delong-logit": "DeLong's on the log-odds for the AUROC of one set",
        "bootstrap-percentile": "stratified bootstrap of scores for the rest",
        "disjoint-pairs": "where no resample differs, as at perfect separation, Clopper-Pearson's for as many "
        "comparisons as there are disjoint pairs of ID and OOD samples",
    }
    used = [text for method, text in meaning.items() if any(each.method == method for each in intervals)]
    return [f"[low, high]: confidence interval of {100 * intervals[0].level:g} %: {'; '.join(used)}."]


def _panel(rows: list[Row], metrics: Sequence[Metric], detail: bool) -> Panel:
    lines: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        identity = (row.scorer, row.params, row.profile, row.tuned_on, row.seed, row.scorer_version, row.origin)
        lines.setdefault(identity, []).append(row)
    ordered = sorted(labelled(list(lines.values())), key=lambda item: (*_merit(item[1]), item[0]))
    columns = _columns(rows, detail)
    numbers = [{(row.group, row.set): row for row in members} for _, members in ordered]
    signs = _Signs()
    cells: dict[tuple[str, str], list[list[Cell]]] = {}
    for group, name, _ in columns:
        found = [of_line.get((group, name)) for of_line in numbers]
        cells[group, name] = [_column(found, metric, signs) for metric in metrics]
    blocks = [Block(title, tuple(metric.heading for metric in metrics)) for _, _, title in columns]
    accuracy = {row.id_accuracy for row in rows if row.id_accuracy is not None}
    if len(accuracy) > 1:
        blocks.append(Block("ID", ("accuracy",)))
    return Panel(
        caption=caption(rows, accuracy),
        blocks=tuple(blocks),
        lines=tuple(
            Line(
                label,
                (
                    *(tuple(column[index] for column in cells[group, name]) for group, name, _ in columns),
                    *([(_accuracy_cell(members),)] if len(accuracy) > 1 else []),
                ),
            )
            for index, (label, members) in enumerate(ordered)
        ),
        footnotes=tuple((sign, text) for text, sign in signs.known.items()),
        reasons=tuple(reasons(ordered)),
    )


class _Signs:
    """Footnote letters in the order in which their texts are met."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def of(self, text: str | None) -> str:
        if text is None:
            return ""
        return self.known.setdefault(printable(text), _letters(len(self.known)))


def _letters(number: int) -> str:
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + "abcdefghijklmnopqrstuvwxyz"[last]


def _columns(rows: Sequence[Row], detail: bool) -> list[tuple[str, str, str]]:
    """(group, set, title) of every block. A group of one set is its own mean and stands once."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        members = groups.setdefault(row.group, [])
        if row.set not in members and row.set != MEAN:
            members.append(row.set)
    with_mean = {row.group for row in rows if row.set == MEAN}
    columns: list[tuple[str, str, str]] = []
    for group, sets in groups.items():
        if group not in with_mean:
            columns += [(group, name, printable(name)) for name in sets]
        elif len(sets) == 1:
            columns.append((group, MEAN, printable(f"{group}: {sets[0]}")))
        else:
            columns += [(group, name, printable(name)) for name in sets if detail]
            columns.append((group, MEAN, printable(f"{group} mean")))
    return columns


def _column(rows: Sequence[Row | None], metric: Metric, signs: _Signs) -> list[Cell]:
    """The cells of one column. Ranks go by what is printed: equal print, equal rank."""
    values = [None if row is None or row.status != "ok" else getattr(row, metric.column) for row in rows]
    texts = [ABSENT if value is None else f"{100 * value:.{DECIMALS}f}" for value in values]
    distinct = sorted({float(t) for t in texts if t != ABSENT}, reverse=metric.higher_is_better)
    cells: list[Cell] = []
    for row, text in zip(rows, texts, strict=True):
        if row is None or text == ABSENT:
            cells.append(Cell(ABSENT))
            continue
        place = distinct.index(float(text))
        rank: Literal[0, 1, 2] = 0 if len(distinct) < 2 or place > 1 else 1 if place == 0 else 2
        if metric.column == "auroc" and row.auroc_std is not None:
            text += f" ± {100 * row.auroc_std:.{DECIMALS}f}"
        if interval := row.interval(metric.column):
            text += f" [{100 * interval.low:.{DECIMALS}f}, {100 * interval.high:.{DECIMALS}f}]"
        cells.append(Cell(text, rank, signs.of(row.reason)))
    return cells


def _merit(rows: Collection[Row]) -> tuple[bool, float]:
    """For sorting: lines with every mean first, then by the mean over groups of AUROC, the highest first."""
    means = [row for row in rows if row.set == MEAN] or list(rows)
    values = [row.auroc for row in means if row.auroc is not None and row.status == "ok"]
    return len(values) < len(means), -math.fsum(values) / len(values) if values else 1.0


def _accuracy_cell(rows: Sequence[Row]) -> Cell:
    value = next((row.id_accuracy for row in rows if row.id_accuracy is not None), None)
    return Cell(ABSENT if value is None else f"{100 * value:.{DECIMALS}f}")
