"""Tables of further tasks in the formats of the OOD table. Shares become percent here. Needs no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ood_bench.errors import RequestError
from ood_bench.naming import unknown
from ood_bench.render.html import to_html_fragment
from ood_bench.render.labels import printable
from ood_bench.render.latex import to_latex
from ood_bench.render.layout import ABSENT, DECIMALS, Block, Cell, Layout, Line, Panel
from ood_bench.render.markdown import to_markdown
from ood_bench.render.table import FORMATS, Format
from ood_bench.render.text import to_text
from ood_bench.store.leaderboard import DECIMALS as CSV_DECIMALS
from ood_bench.store.row import MEAN
from ood_bench.tasks.row import Column, TaskRow, Value
from ood_bench.tasks.task import Task

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def render_task(
    task: Task,
    rows: Sequence[TaskRow],
    *,
    fmt: Format = "text",
    detail: bool = False,
    top: int | None = None,
    width: int = 100,
) -> str:
    """The rows as text, one line per method, the best first; `detail` shows every set and every column.

    `top` keeps the first lines of each panel, leaves out the reasons for what is missing, and says so.
    """
    if fmt not in FORMATS:
        raise unknown("format of a table", fmt, FORMATS)
    if not rows:
        raise RequestError(f"a table of {task.name} needs at least one row, got none; run it first: ood-bench run")
    if fmt == "csv":
        return to_csv(task, rows)
    layout = arrange_task(task, rows, detail=detail)
    if top is not None and any(len(panel.lines) > top or panel.reasons for panel in layout.panels):
        panels = tuple(replace(panel, lines=panel.lines[:top], reasons=()) for panel in layout.panels)
        whole = f"The best {top}; all of them and the reasons for what is missing: ood-bench table --task {task.name}"
        layout = replace(layout, panels=panels, legend=(*layout.legend, f"{whole} --suite {rows[0].suite}"))
    if fmt == "markdown":
        return to_markdown(layout)
    if fmt == "latex":
        return to_latex(layout)
    return to_html_fragment(layout) if fmt == "html" else to_text(layout, width=width, color=False)


def to_csv(task: Task, rows: Sequence[TaskRow]) -> str:
    """All columns of all rows, shares in [0, 1] with six decimals; what a spreadsheet would execute is defused."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    flat = [task.flat(row) for row in rows]
    writer.writerow(flat[0])
    writer.writerows([[_csv_cell(value) for value in row.values()] for row in flat])
    return buffer.getvalue()


def arrange_task(task: Task, rows: Sequence[TaskRow], *, detail: bool = False) -> Layout:
    """Rows as panels, one per suite and checkpoint."""
    shown = [column for column in task.columns if detail or column.shown]
    panels: dict[tuple[object, ...], list[TaskRow]] = {}
    for row in rows:
        if detail or task.compact(row):
            panels.setdefault((row.suite, row.model, row.model_seed), []).append(row)
    percent = "In percent: " + "; ".join(f"{c.title} ({c.meaning})" for c in shown if c.unit == "percent") + "."
    other = "; ".join(f"{c.title}: {c.meaning}" for c in shown if c.unit != "percent")
    legend = [*([percent] if any(c.unit == "percent" for c in shown) else []), *([other + "."] if other else [])]
    return Layout(tuple(_panel(task, shown, members) for members in panels.values()), (*legend, *task.notes))


def _panel(task: Task, columns: Sequence[Column], rows: Sequence[TaskRow]) -> Panel:
    lines: dict[tuple[object, ...], list[TaskRow]] = {}
    for row in rows:
        lines.setdefault((row.spec, row.params, row.profile, row.origin, row.version), []).append(row)
    ordered = sorted(lines.values(), key=lambda members: _merit(task, members))
    places = list(
        dict.fromkeys((row.group, row.set) for row in rows if any(v is not None for v in row.values.values()))
    )
    numbers = [{(row.group, row.set): row for row in members} for members in ordered]
    footnotes: dict[str, str] = {}
    cells = {
        place: [_column([of_line.get(place) for of_line in numbers], column, footnotes) for column in columns]
        for place in places
    }
    checkpoint = rows[0].model if rows[0].model_seed is None else f"{rows[0].model}@{rows[0].model_seed}"
    return Panel(
        caption=printable(f"{rows[0].suite} · {checkpoint} · {task.title}"),
        blocks=tuple(Block(_title(*place), tuple(column.heading for column in columns)) for place in places),
        lines=tuple(
            Line(
                printable(_label(members[0])),
                tuple(tuple(column[index] for column in cells[place]) for place in places),
            )
            for index, members in enumerate(ordered)
            if any(row.status == "ok" for row in members)
        ),
        footnotes=tuple((sign, text) for text, sign in footnotes.items()),
        reasons=tuple(_reasons(ordered)),
        who=task.method,
    )


def _column(rows: Sequence[TaskRow | None], column: Column, footnotes: dict[str, str]) -> list[Cell]:
    """The cells of one column. Ranks go by what is printed: equal print, equal rank."""
    values = [None if row is None or row.status != "ok" else row.values.get(column.name) for row in rows]
    texts = [_text(value, column) for value in values]
    sizes = {text: float(value) for value, text in zip(values, texts, strict=True) if isinstance(value, int | float)}
    distinct = sorted(sizes, key=lambda text: sizes[text], reverse=bool(column.higher_is_better))
    cells: list[Cell] = []
    for row, text in zip(rows, texts, strict=True):
        place = distinct.index(text) if text in sizes and column.higher_is_better is not None else 2
        rank: Literal[0, 1, 2] = 0 if len(distinct) < 2 or place > 1 else 1 if place == 0 else 2
        reason = row.reason if row is not None and row.status == "ok" else None
        sign = footnotes.setdefault(printable(reason), str(len(footnotes) + 1)) if reason and text != ABSENT else ""
        cells.append(Cell(text, rank, sign))
    return cells


def _text(value: Value, column: Column) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, str):
        return printable(value)
    if column.unit == "percent":
        return f"{100 * value:.{DECIMALS}f}"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _merit(task: Task, rows: Sequence[TaskRow]) -> tuple[bool, float, str]:
    """For sorting: the best in the first place of the column that ranks, methods without a number last."""
    column = task.columns_by_name[task.rank_by]
    value = next((v for row in rows if isinstance(v := row.values.get(column.name), int | float)), None)
    sign = -1.0 if column.higher_is_better else 1.0
    return value is None, sign * (value or 0.0), _label(rows[0])


def _label(row: TaskRow) -> str:
    details = [part for part in (row.profile, row.origin if row.origin != "ours" else None) if part]
    return (row.spec or row.method) + (f" ({', '.join(details)})" if details else "")


def _title(group: str, name: str) -> str:
    return printable(f"{group} mean" if name == MEAN else name if group in ("test", name) else f"{group}: {name}")


def _reasons(lines: Sequence[Sequence[TaskRow]]) -> list[str]:
    """One sentence per reason, with every method it holds for."""
    holding: dict[tuple[str, str], dict[str, None]] = {}
    for rows in lines:
        empty = [row for row in rows if row.status != "ok"]
        without_means = [row for row in empty if row.set != MEAN] or empty
        for row in without_means:
            where = "" if len(without_means) == len(rows) else f" on {row.set}"
            holding.setdefault((row.status, row.reason or "no reason was recorded"), {})[_label(row) + where] = None
    return [
        printable(f"{status}: {'; '.join(names)}: {reason}")
        for (status, reason), names in sorted(holding.items(), key=lambda item: item[0][0] == "skipped")
    ]


def _csv_cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return f"{value:.{CSV_DECIMALS}f}" if isinstance(value, float) else str(value)
