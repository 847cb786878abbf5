"""Critical-difference diagrams: as text, bars joining what cannot be told apart, and as SVG."""

from __future__ import annotations

from html import escape

from ood_bench.statistics.ranks import Ranks

_WIDTH, _MARGIN, _STEP = 640, 170, 18  # pixels


def as_text(ranks: Ranks) -> str:
    """One line per scorer, the best first; a bar beside neighbours means that no difference was shown."""
    label = max(len(name) for name in ranks.names)
    lines = [heading(ranks)]
    for name, rank in zip(ranks.names, ranks.average, strict=True):
        bars = "".join("┃" if name in clique else " " for clique in ranks.cliques)
        lines.append(f"  {rank:6.2f}  {name:<{label}}  {bars}".rstrip())
    return "\n".join(lines)


def heading(ranks: Ranks) -> str:
    """What stands above a diagram: how many blocks, which tests."""
    parts = [f"average rank over {ranks.blocks} blocks (checkpoint x set)"]
    if ranks.critical_difference is not None:
        parts.append(f"critical difference {ranks.critical_difference:.2f} (Nemenyi, {100 * ranks.level:g} %)")
    if ranks.p_value is not None:
        parts.append(f"p = {ranks.p_value:.2g} that all rank alike (Friedman)")
    return "; ".join(parts)


def as_svg(ranks: Ranks) -> str:
    """The usual picture: scorers on an axis of average ranks, thick bars joining cliques."""
    k = len(ranks.names)
    left = (k + 1) // 2
    axis, first = 46.0, 60.0 + 8 * len(ranks.cliques)
    height = round(first) + _STEP * left + 12

    def x(rank: float) -> float:
        return _MARGIN + (rank - 1) / (k - 1) * (_WIDTH - 2 * _MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="12" fill="currentColor" stroke="none" role="img">',
        f"<title>{escape(heading(ranks))}</title>",
        _line(x(1), axis, x(k), axis),
    ]
    for tick in range(1, k + 1, 1 if k <= 20 else 5):
        parts += [_line(x(tick), axis - 5, x(tick), axis), _text(x(tick), axis - 9, str(tick), "middle")]
    if ranks.critical_difference is not None:
        end = min(x(1 + ranks.critical_difference), _WIDTH - 4)
        parts += [_line(x(1), 14, end, 14, 2), _text(x(1), 10, f"CD {ranks.critical_difference:.2f}", "start")]
    for row, clique in enumerate(ranks.cliques):
        ends = [x(ranks.average[ranks.names.index(name)]) for name in (clique[0], clique[-1])]
        parts.append(_line(ends[0] - 3, axis + 10 + 8 * row, ends[1] + 3, axis + 10 + 8 * row, 4))
    for index, (name, rank) in enumerate(zip(ranks.names, ranks.average, strict=True)):
        on_left = index < left
        y = first + _STEP * (index if on_left else k - 1 - index) + 8
        edge, anchor = (_MARGIN - 12.0, "end") if on_left else (_WIDTH - _MARGIN + 12.0, "start")
        parts += [_line(x(rank), axis, x(rank), y), _line(x(rank), y, edge, y)]
        parts.append(_text(edge + (-4 if on_left else 4), y + 4, f"{name} {rank:.2f}", anchor))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float, width: float = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
