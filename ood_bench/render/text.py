"""Tables for terminals and pipes: aligned columns, blocks that do not fit the width continue below."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ood_bench.render.layout import Block, Cell, Layout, Line, Panel

GAP = 2  # between columns
BLOCK_GAP = 4  # between blocks

_STYLES = ("", "bold", "underline")
_RANKS = ("", "*", "+")


def to_text(layout: Layout, *, width: int, color: bool) -> str:
    """The layout as lines of at most `width` columns; best and second best are bold and underlined, or * and +."""
    buffer = io.StringIO()
    console = Console(
        file=buffer, force_terminal=color, color_system="standard" if color else None, legacy_windows=False
    )
    for panel in layout.panels:
        for line in _panel(panel, width, color):
            line.rstrip()
            console.print(line, soft_wrap=True, highlight=False)
    ranked = any(cell.rank for panel in layout.panels for line in panel.lines for block in line.cells for cell in block)
    legend = list(layout.legend)
    if ranked:
        legend.append("Bold: best of the column; underlined: second best." if color else "* best, + second best.")
    for note in legend:
        console.print(Text(_wrapped(note, width)), soft_wrap=True, highlight=False)
    return buffer.getvalue()


def fits(layout: Layout, width: int) -> bool:
    """Whether every panel's blocks stand side by side in `width` columns."""
    return all(len(_chunks(panel, _Measures(panel, color=False), width)) == 1 for panel in layout.panels)


class _Measures:
    """Widths of a panel: of its labels, and of each column's number and of the signs behind it."""

    def __init__(self, panel: Panel, color: bool) -> None:
        self.label = max(cell_len(panel.who), *(cell_len(line.label) for line in panel.lines))
        self.numbers: list[list[int]] = []
        self.signs: list[list[int]] = []
        self.blocks: list[int] = []
        for index, block in enumerate(panel.blocks):
            columns = [[line.cells[index][c] for line in panel.lines] for c in range(len(block.headings))]
            signs = [max(len(_signs(cell, color)) for cell in column) for column in columns]
            numbers = [
                max(cell_len(heading) - sign, *(cell_len(cell.text) for cell in column))
                for heading, sign, column in zip(block.headings, signs, columns, strict=True)
            ]
            natural = sum(numbers) + sum(signs) + GAP * (len(numbers) - 1)
            numbers[0] += max(0, cell_len(block.title) - natural)
            self.numbers.append(numbers)
            self.signs.append(signs)
            self.blocks.append(max(natural, cell_len(block.title)))


def _panel(panel: Panel, width: int, color: bool) -> list[Text]:
    measures = _Measures(panel, color)
    out = [Text(_wrapped(panel.caption, width), style="bold" if color else "")]
    for chunk in _chunks(panel, measures, width):
        out += _table(panel, measures, chunk, color)
        out.append(Text(""))
    for sign, text in panel.footnotes:
        out.append(Text(_wrapped(f"[{sign}] {text}", width)))
    for reason in panel.reasons:
        out.append(Text(_wrapped(reason, width)))
    if panel.footnotes or panel.reasons:
        out.append(Text(""))
    return out


def _chunks(panel: Panel, measures: _Measures, width: int) -> list[list[int]]:
    """The blocks' indices, as many side by side as fit, at least one."""
    chunks: list[list[int]] = [[]]
    used = measures.label
    for index in range(len(panel.blocks)):
        needed = BLOCK_GAP + measures.blocks[index]
        if chunks[-1] and used + needed > width:
            chunks.append([])
            used = measures.label
        chunks[-1].append(index)
        used += needed
    return chunks


def _table(panel: Panel, measures: _Measures, chunk: Sequence[int], color: bool) -> list[Text]:
    titles, headings = Text(" " * measures.label), Text(_left(panel.who, measures.label))
    for index in chunk:
        block = panel.blocks[index]
        titles.append(" " * BLOCK_GAP + _centred(block.title, measures.blocks[index]))
        headings.append(" " * BLOCK_GAP + _headings(block, measures, index))
    total = measures.label + sum(BLOCK_GAP + measures.blocks[index] for index in chunk)
    rule = Text("─" * total, style="dim" if color else "")
    return [titles, headings, rule, *(_line(line, measures, chunk, color) for line in panel.lines)]


def _headings(block: Block, measures: _Measures, index: int) -> str:
    widths = [n + s for n, s in zip(measures.numbers[index], measures.signs[index], strict=True)]
    return (" " * GAP).join(_right(heading, width) for heading, width in zip(block.headings, widths, strict=True))


def _line(line: Line, measures: _Measures, chunk: Sequence[int], color: bool) -> Text:
    text = Text(_left(line.label, measures.label))
    for index in chunk:
        for position, cell in enumerate(line.cells[index]):
            text.append(" " * (GAP if position else BLOCK_GAP))
            text.append(" " * (measures.numbers[index][position] - cell_len(cell.text)))
            text.append(cell.text, style=_STYLES[cell.rank] if color else "")
            text.append(_left(_signs(cell, color), measures.signs[index][position]))
    return text


def _signs(cell: Cell, color: bool) -> str:
    return ("" if color else _RANKS[cell.rank]) + (f"[{cell.sign}]" if cell.sign else "")


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _centred(text: str, width: int) -> str:
    before = (width - cell_len(text)) // 2
    return _left(" " * before + text, width)


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, max(width, 20), subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
