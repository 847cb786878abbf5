"""Figures of tasks as SVG that needs nothing else: scatter plots, reliability diagrams, risk-coverage curves. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ood_bench.errors import RequestError
from ood_bench.metrics.risk_coverage import RiskCoverageCurve, risk_coverage_curve
from ood_bench.render.labels import printable
from ood_bench.tasks import accuracy
from ood_bench.tasks.answers import checkpoints
from ood_bench.tasks.selective import judged
from ood_bench.tasks.stored import groups_of, wanted
from ood_bench.tasks.task import Asked, Task

SIDE, MARGIN, COLUMNS = 220, 46, 4
CURVES = 8  # more are not told apart
# Okabe and Ito's colours, told apart by most eyes; the last stands for whatever comes after
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000", "#888888")


@dataclass(frozen=True, slots=True)
class Mark:
    """Points (or a line through them) of one colour, with the words of the legend."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    is_line: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """One panel: a title, what its axes show, what is drawn; `diagonal` draws y = x."""

    title: str
    x_label: str
    y_label: str
    marks: tuple[Mark, ...]
    diagonal: bool = False


def figure(task: Task, asked: Asked) -> str:
    """The task's figure as SVG; RequestError where it has none, or nothing to show."""
    makers = {"accuracy": scatter, "calibration": reliability, "selective": risk_coverage}
    if task.name not in makers:
        raise RequestError(f"a figure is drawn for {', '.join(makers)}, got {task.name}")
    plots = makers[task.name](asked)
    if not plots:
        raise RequestError(f"a figure of {task.name} needs at least one result, got none; run it first: ood-bench run")
    return svg(plots)


def scatter(asked: Asked) -> list[Plot]:
    """Estimate against accuracy, a panel for each estimator, a colour for each family of shifted sets."""
    panels: dict[tuple[str, int | None, str], list[accuracy.Point]] = {}
    for point in accuracy.points(asked):
        if point.accuracy is not None and point.family != "test":
            answer = point.answer
            panels.setdefault((answer.model, answer.model_seed, answer.spec), []).append(point)
    return [
        Plot(spec, "estimate", "accuracy", tuple(_by_family(points))) for (_, _, spec), points in sorted(panels.items())
    ]


def _by_family(points: Sequence[accuracy.Point]) -> Iterable[Mark]:
    for index, family in enumerate(dict.fromkeys(point.family for point in points)):
        mine = [point for point in points if point.family == family]
        yield Mark(family, [p.estimate for p in mine], [p.accuracy or 0.0 for p in mine], _color(index))


def reliability(asked: Asked) -> list[Plot]:
    """Accuracy against mean confidence of each bin of the test set, a panel for each calibrator."""
    groups, plots = groups_of(asked), []
    for checkpoint in checkpoints(asked.store, asked.suite.name, "calibration", asked.run, asked.models):
        for answer in checkpoint.answers:
            tables = answer.tables or {}
            if groups.get(answer.set) != "test" or not wanted(asked, answer.key.method, answer.spec):
                continue
            pairs = [
                (x, y)
                for x, y in zip(tables.get("confidence", ()), tables.get("accuracy", ()), strict=True)
                if x is not None and y is not None
            ]
            mark = Mark("bins", [x for x, _ in pairs], [y for _, y in pairs], PALETTE[0], is_line=True)
            plots.append(Plot(f"{answer.model}: {answer.spec}", "confidence", "accuracy", (mark,), diagonal=True))
    return plots


def risk_coverage(asked: Asked) -> list[Plot]:
    """Selective risk against coverage on the test set: a panel per checkpoint, curves of the first scorers asked for."""
    test = asked.suite.test or ""
    by_model: dict[tuple[str, int | None], list[tuple[float, str, RiskCoverageCurve]]] = {}
    for line in asked.lines:
        record = line.records.get(test)
        if record is None:
            continue
        correct, scores, reason = judged(asked, record)
        if reason is None:
            curve = risk_coverage_curve(scores, correct)
            by_model.setdefault((line.model, line.model_seed), []).append((curve.aurc(), line.spec, curve))
    plots = []
    for (model, _), found in by_model.items():
        best = sorted(found, key=lambda item: (item[0], item[1]))[:CURVES]
        marks = tuple(
            Mark(spec, curve.coverage.tolist(), curve.risk.tolist(), _color(index), is_line=True)
            for index, (_, spec, curve) in enumerate(best)
        )
        plots.append(Plot(model, "coverage", "selective risk", marks))
    return plots


def svg(plots: Sequence[Plot]) -> str:
    """The panels in rows of four, with a legend below."""
    names = {mark.name: mark.color for plot in plots for mark in plot.marks if len(plot.marks) > 1}
    rows = (len(plots) + COLUMNS - 1) // COLUMNS
    cell = SIDE + MARGIN + 24
    width = cell * min(COLUMNS, len(plots)) + 16
    legend_top = rows * cell + 20
    legend = [
        f'<circle cx="{20 + 190 * (i % 4)}" cy="{legend_top + 18 * (i // 4)}" r="4" fill="{color}"/>'
        f'<text x="{30 + 190 * (i % 4)}" y="{legend_top + 4 + 18 * (i // 4)}">{_safe(name)}</text>'
        for i, (name, color) in enumerate(names.items())
    ]
    height = legend_top + 18 * ((len(names) + 3) // 4) + 10
    panels = [_panel(plot, cell * (i % COLUMNS) + MARGIN, cell * (i // COLUMNS) + 28) for i, plot in enumerate(plots)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="10">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join([*panels, *legend])
        + "\n</svg>\n"
    )


def _panel(plot: Plot, left: float, top: float) -> str:
    x_low, x_high = _range([x for mark in plot.marks for x in mark.x], plot.diagonal)
    y_low, y_high = _range([y for mark in plot.marks for y in mark.y], plot.diagonal)

    def place(x: float, y: float) -> str:
        across = left + SIDE * (x - x_low) / (x_high - x_low)
        return f"{across:.1f},{top + SIDE * (1 - (y - y_low) / (y_high - y_low)):.1f}"

    parts = [
        f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        f'<text x="{left + SIDE / 2}" y="{top - 8}" text-anchor="middle" font-weight="bold">{_safe(plot.title)}</text>',
        f'<text x="{left + SIDE / 2}" y="{top + SIDE + 28}" text-anchor="middle">{_safe(plot.x_label)}</text>',
        f'<text x="{left - 34}" y="{top + SIDE / 2}" text-anchor="middle" '
        f'transform="rotate(-90 {left - 34} {top + SIDE / 2})">{_safe(plot.y_label)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        x, y = x_low + share * (x_high - x_low), y_low + share * (y_high - y_low)
        parts.append(f'<text x="{left + share * SIDE}" y="{top + SIDE + 13}" text-anchor="middle">{x:.3g}</text>')
        parts.append(f'<text x="{left - 4}" y="{top + (1 - share) * SIDE + 3}" text-anchor="end">{y:.3g}</text>')
    if plot.diagonal:
        parts.append(f'<polyline points="{place(0, 0)} {place(1, 1)}" fill="none" stroke="#bbb"/>')
    for mark in plot.marks:
        points = [place(x, y) for x, y in zip(mark.x, mark.y, strict=True)]
        if mark.is_line:
            parts.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{mark.color}" stroke-width="1.5"/>'
            )
        if not mark.is_line or plot.diagonal:
            dots = (point.split(",") for point in points)
            parts += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{mark.color}"/>' for x, y in dots]
    return "<g>" + "".join(parts) + "</g>"


def _range(values: Sequence[float], is_share: bool) -> tuple[float, float]:
    if is_share:
        return 0.0, 1.0
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _color(index: int) -> str:
    return PALETTE[min(index, len(PALETTE) - 1)]


def _safe(text: str) -> str:
    return escape(printable(text))
