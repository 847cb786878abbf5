"""Rows as a table in the format that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ood_bench.naming import unknown
from ood_bench.render.columns import FprOrientation, chosen_metrics
from ood_bench.render.html import to_html_fragment
from ood_bench.render.latex import to_latex
from ood_bench.render.layout import arrange
from ood_bench.render.markdown import to_markdown
from ood_bench.render.text import fits, to_text
from ood_bench.store.leaderboard import to_csv
from ood_bench.store.row import Row
from ood_bench.store.seeds import DDOF

Format = Literal["text", "markdown", "latex", "csv", "html"]
FORMATS: tuple[Format, ...] = ("text", "markdown", "latex", "csv", "html")
DEFAULT_METRICS = ("auroc", "fpr95")


def render(
    rows: Sequence[Row],
    *,
    fmt: Format = "text",
    fpr: FprOrientation = "id_positive",
    metrics: Sequence[str] = DEFAULT_METRICS,
    detail: bool | None = None,
    width: int = 100,
    color: bool = False,
    ddof: int = DDOF,
) -> str:
    """The rows as text, one line per scorer, best mean AUROC first; percent with two decimals.

    `detail` shows every set beside the means; by default text does so where all of it fits into `width`, the other
    formats always. `color` styles best and second best for a terminal. `ddof` is what `aggregate_seeds` was given.
    CSV is the leaderboard's: all columns, shares in [0, 1].
    """
    if fmt not in FORMATS:
        raise unknown("format of a table", fmt, FORMATS)
    if fmt == "csv":
        return to_csv(rows)
    columns = chosen_metrics(metrics, fpr)
    full = arrange(rows, columns, detail=detail is not False, ddof=ddof)
    if fmt == "markdown":
        return to_markdown(full)
    if fmt == "latex":
        return to_latex(full)
    if fmt == "html":
        return to_html_fragment(full)
    if detail is not None or fits(full, width):
        return to_text(full, width=width, color=color)
    means = arrange(rows, columns, detail=False, ddof=ddof)
    hint = "Means over groups; every set by itself: --detail.\n" if means != full else ""
    return to_text(means, width=width, color=color) + hint


def to_html(
    rows: Sequence[Row],
    *,
    fpr: FprOrientation = "id_positive",
    metrics: Sequence[str] = DEFAULT_METRICS,
    detail: bool | None = None,
) -> str:
    """The rows as a self-contained HTML fragment, for `_repr_html_` in notebooks."""
    return render(rows, fmt="html", fpr=fpr, metrics=metrics, detail=detail)
