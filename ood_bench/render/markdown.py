"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

import re

from ood_bench.render.layout import Cell, Layout, Panel

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")


def to_markdown(layout: Layout) -> str:
    """Pipe tables; best in bold, second best underlined, footnote signs raised."""
    parts = [part for panel in layout.panels for part in _panel(panel)]
    parts.append("\n".join(f"{escape(note)}  " for note in (*layout.legend, "Bold: best; underlined: second best.")))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """The text with nothing left that Markdown, or the HTML inside it, would act on."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text)


def _panel(panel: Panel) -> list[str]:
    headings = [f"{block.title} {heading}" for block in panel.blocks for heading in block.headings]
    lines = [
        [panel.who, *(escape(heading) for heading in headings)],
        [":---", *("---:" for _ in headings)],
        *([escape(line.label), *(_cell(cell) for block in line.cells for cell in block)] for line in panel.lines),
    ]
    parts = [f"**{escape(panel.caption)}**", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    notes = [
        *(f"<sup>{sign}</sup> {escape(text)}" for sign, text in panel.footnotes),
        *(escape(reason) for reason in panel.reasons),
    ]
    return [*parts, "\n".join(f"* {note}" for note in notes)] if notes else parts


def _cell(cell: Cell) -> str:
    text = (cell.text, f"**{cell.text}**", f"<u>{cell.text}</u>")[cell.rank]
    return text + (f"<sup>{cell.sign}</sup>" if cell.sign else "")
