"""A tuning's curve, as text and as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ood_bench.render.labels import printable
from ood_bench.tuning import Point, Tuning

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 260, 60, 44  # pixels


def as_text(tuning: Tuning) -> str:
    """One line per value: AUROC on validation and, as the mean over all OOD sets, on test; what it is; a sparkline."""
    validation, test = [point.validation for point in tuning.points], [_test(point) for point in tuning.points]
    names = [_name(tuning, point) for point in tuning.points]
    width = max(len("value"), *map(len, names))
    lines = [
        printable(f"{tuning.scorer}, chosen by AUROC on {tuning.tuned_on}"),
        f"{'value':<{width}}  {'validation':>10}  {'test':>6}",
    ]
    for index, name in enumerate(names):
        what = ", ".join(_what(tuning, index))
        reason = tuning.points[index].reason
        shown = f"{name:<{width}}  {_percent(validation[index]):>10}  {_percent(test[index]):>6}  {what}".rstrip()
        lines.append(printable(shown + (f"  ({reason})" if validation[index] is None and reason else "")))
    lines.append(f"validation {sparkline(validation)}  test {sparkline(test)}")
    return "\n".join(lines)


def sparkline(values: Sequence[float | None]) -> str:
    """A bar per value between the smallest and the largest; a dot where there is none."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    step = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join("·" if value is None else _BARS[round((value - low) * step)] for value in values)


def as_svg(tunings: Sequence[Tuning]) -> str:
    """One panel per scorer: AUROC on validation (solid) and on test (dashed) by value."""
    height = _HEIGHT * len(tunings)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="12" fill="currentColor" stroke="none" role="img">'
    ]
    for number, tuning in enumerate(tunings):
        parts += [f'<g transform="translate(0 {number * _HEIGHT})">', *_panel(tuning), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(tuning: Tuning) -> list[str]:
    curves = [[point.validation for point in tuning.points], [_test(point) for point in tuning.points]]
    known = [value for curve in curves for value in curve if value is not None]
    if not known:
        return [_text(_LEFT, 20, f"{tuning.scorer}: {tuning.points[0].reason}", "start")]
    low, high = min(known), max(known)
    room = max((high - low) * 0.05, 1e-3)
    low, high = low - room, high + room
    last = max(1, len(tuning.points) - 1)

    def x(index: int) -> float:
        return _LEFT + index / last * (_WIDTH - 2 * _LEFT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - 2 * _TOP)

    title = f"{tuning.scorer}: AUROC on {tuning.tuned_on} (solid) and on the test sets (dashed)"
    parts = [_text(_LEFT, 20, title, "start")]
    parts += [_text(_LEFT - 8, y(value) + 4, f"{100 * value:.1f}", "end") for value in (low + room, high - room)]
    for curve, dashes in zip(curves, ("", ' stroke-dasharray="5 4"'), strict=True):
        corners = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(curve) if v is not None)
        parts.append(f'<polyline points="{corners}" fill="none" stroke="currentColor" stroke-width="1.5"{dashes}/>')
    marks = [("default", tuning.default, 0), ("selected", tuning.selected, 0), ("oracle", tuning.oracle, 1)]
    for name, index, of in marks:
        value = None if index is None else curves[of][index]
        if index is not None and value is not None:
            parts.append(f'<circle cx="{x(index):.1f}" cy="{y(value):.1f}" r="4"><title>{name}</title></circle>')
            parts.append(_text(x(index), y(value) - 8, name, "middle"))
    every = math.ceil(len(tuning.points) / 10)
    shown = range(0, len(tuning.points), every)
    return parts + [_text(x(index), _HEIGHT - 16, _name(tuning, tuning.points[index]), "middle") for index in shown]


def _name(tuning: Tuning, point: Point) -> str:
    """The swept parameters alone, since all points share the others."""
    values = {name.rpartition(".")[2]: _value(point, name) for name in tuning.swept}
    return ",".join(f"{name}={value}" for name, value in values.items())


def _value(point: Point, name: str) -> object:
    if name in point.params:
        return point.params[name]
    return next((value for key, value in point.params.items() if key.rpartition(".")[2] == name), "")


def _what(tuning: Tuning, index: int) -> list[str]:
    names = []
    if index == tuning.default:
        names.append("default")
    if index == tuning.selected:
        names.append("selected")
    if index == tuning.oracle:
        names.append("oracle (best on the test sets: not a result)")
    return names


def _test(point: Point) -> float | None:
    return math.fsum(point.test.values()) / len(point.test) if point.test else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
