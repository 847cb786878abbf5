"""Pictures of scores out of block characters, for a terminal or a log. No colours: shapes alone must do."""

from __future__ import annotations

import math

import numpy as np

from ood_bench.figures.curves import Curve, histograms

_EIGHTHS = " ▁▂▃▄▅▆▇█"
ROWS = 12


def histogram_text(
    id_scores: np.ndarray, ood_scores: np.ndarray, names: tuple[str, str], *, width: int = 80, bins: int = 20
) -> str:
    """ID to the right, OOD to the left of the axis; one line per bin, the highest scores on top."""
    drawn = histograms({"id": id_scores, "ood": ood_scores}, bins)
    labels = [f"{edge:.4g}" for edge in drawn.edges[:-1]]
    axis = max(map(len, labels))
    half = max((width - axis - 4) // 2, 8)
    largest = max(float(shares.max()) for shares in drawn.shares.values())
    lines = [f"{_ended(names[1], half):>{half}} {'score':^{axis + 2}} {_ended(names[0], half)}"]
    for index in range(bins - 1, -1, -1):
        inside, outside = (round(half * float(drawn.shares[role][index]) / largest) for role in ("id", "ood"))
        lines.append(f"{'░' * outside:>{half}} {labels[index]:>{axis}} │ {'█' * inside}".rstrip())
    lines.append(f"The longest bar is {100 * largest:.1f} % of its set; the outermost bins hold what lies beyond.")
    return "\n".join(lines)


def curve_text(curve: Curve, x: str, y: str, *, width: int = 80, top: float = 1.0) -> str:
    """The area below the curve over x in [0, 1], `top` being the height of the picture."""
    columns = max(min(width - 8, 72), 16)
    heights = curve.at((np.arange(columns) + 0.5) / columns) / (top or 1.0)
    lines = [y]
    for row in range(ROWS - 1, -1, -1):
        blocks = "".join(_EIGHTHS[math.floor(8 * min(max(height * ROWS - row, 0.0), 1.0))] for height in heights)
        tick = f"{100 * top * (row + 1) / ROWS:.4g}" if row in (ROWS - 1, ROWS // 2 - 1) else ""
        lines.append(f"{tick:>6} {'┤' if tick else '│'}{blocks}".rstrip())
    lines.append(f"{'0':>6} └{'─' * columns}")
    lines.append(f"{'':7} 0{x:^{columns - 4}}100")
    return "\n".join(lines)


def _ended(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
