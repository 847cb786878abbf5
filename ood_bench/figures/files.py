"""Pictures of scores as files for a paper, by matplotlib, which is an extra. The same input gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ood_bench.errors import RequestError
from ood_bench.figures.curves import BINS, Curve, histograms
from ood_bench.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".svg", ".png")

ID, OOD = "#0072b2", "#d55e00"  # of Okabe and Ito's palette, which colour-blind readers can tell apart
COLORS = (ID, OOD, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("-", "--", ":", "-.")
_WIDTH = 3.4  # inches: one column of a two-column paper
_STYLE: Any = {  # matplotlib's keys are a type of their own
    "font.size": 8,
    "axes.titlesize": 8,
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text that publishers accept and readers can search
    "svg.fonttype": "none",
    "svg.hashsalt": "ood-bench",  # element names that do not change from one run to the next
    "savefig.dpi": 200,
}
_UNDATED = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}


def check_out(path: Path) -> None:
    """Raise where a picture cannot be written under that name, before anything is computed for it."""
    if path.suffix.lower() not in SUFFIXES:
        raise RequestError(f"a figure's file should end in {', '.join(SUFFIXES)}, got {path.name}")
    try:
        import matplotlib  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise RequestError("figures as files need matplotlib; install it: pip install 'ood-bench[plots]'") from error


def save_histograms(path: Path, panels: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """One panel per title, ID filled and OOD outlined over the same bins."""
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)

    def draw(figure: Figure) -> None:
        for index, (title, (inside, outside)) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(rows, columns, index)
            drawn = histograms({"ID": inside, "OOD": outside}, BINS)
            axes.stairs(drawn.shares["ID"], drawn.edges, fill=True, color=ID, alpha=0.55, label="ID")
            axes.stairs(drawn.shares["OOD"], drawn.edges, color=OOD, linewidth=1.2, label="OOD")
            axes.set(title=title, xlabel="score (higher: more in-distribution)", yticks=[])
            axes.spines["left"].set_visible(False)
            if index == 1:
                axes.legend()

    _save(path, (_WIDTH * columns, 2.0 * rows), draw)


def save_curves(path: Path, curves: Mapping[str, Curve], *, x: str, y: str, diagonal: bool = False) -> None:
    """All curves in one picture, told apart by colour and dash; shares as percent."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if diagonal:
            axes.plot([0, 100], [0, 100], color="0.6", linewidth=0.6)
        for index, (name, curve) in enumerate(curves.items()):
            color, dash = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
            axes.plot(100 * curve.x, 100 * curve.y, dash, color=color, linewidth=1.2, label=name)
        axes.set(xlabel=x, ylabel=y, xlim=(0, 100))
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", fontsize=7)

    _save(path, (_WIDTH, 2.6 + 0.14 * len(curves)), draw)


def _save(path: Path, size: tuple[float, float], draw: Any) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    suffix = path.suffix.lower()
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        write_atomically(
            path, lambda file: figure.savefig(file, format=suffix.removeprefix("."), metadata=_UNDATED[suffix])
        )
