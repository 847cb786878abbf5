"""Tables as a small HTML fragment that needs nothing else: for notebooks and for pasting into a page."""

from __future__ import annotations

from html import escape
from itertools import chain

from ood_bench.render.layout import Cell, Layout, Panel

# Colours are those of the page around it, so the fragment is readable in light and in dark.
_STYLE = (
    ".ood-bench table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".ood-bench caption{caption-side:top;text-align:left;font-weight:600;padding:.4em 0}"
    ".ood-bench th,.ood-bench td{padding:.15em .6em;text-align:right;border:0;white-space:nowrap}"
    ".ood-bench th[scope=row],.ood-bench th[scope=col]:first-child{text-align:left}"
    ".ood-bench th[scope=row]{font-weight:400}"
    ".ood-bench th[scope=colgroup]{text-align:center}"
    ".ood-bench thead tr:last-child th{border-bottom:1px solid currentColor}"
    ".ood-bench .notes{font-size:.85em;margin:.4em 0;padding:0;list-style:none}"
    ".ood-bench .wide{overflow-x:auto}"
)


def to_html_fragment(layout: Layout) -> str:
    """One `div` with a table per panel; best in bold, second best underlined."""
    panels = "".join(_panel(panel) for panel in layout.panels)
    legend = _notes([*(escape(note) for note in layout.legend), "Bold: best; underlined: second best."])
    return f'<div class="ood-bench"><style>{_STYLE}</style>{panels}{legend}</div>\n'


def _panel(panel: Panel) -> str:
    titles = "".join(
        f'<th scope="colgroup" colspan="{len(block.headings)}">{escape(block.title)}</th>' for block in panel.blocks
    )
    headings = "".join(
        f'<th scope="col">{escape(heading)}</th>' for block in panel.blocks for heading in block.headings
    )
    body = "".join(
        f'<tr><th scope="row">{escape(line.label)}</th>{"".join(map(_cell, chain(*line.cells)))}</tr>\n'
        for line in panel.lines
    )
    notes = [
        *(f"<sup>{escape(sign)}</sup> {escape(text)}" for sign, text in panel.footnotes),
        *(escape(reason) for reason in panel.reasons),
    ]
    return (
        f'<div class="wide"><table><caption>{escape(panel.caption)}</caption>\n'
        f'<thead><tr><td></td>{titles}</tr><tr><th scope="col">{panel.who}</th>{headings}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>{_notes(notes)}"
    )


def _notes(notes: list[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{note}</li>" for note in notes)}</ul>\n' if notes else ""


def _cell(cell: Cell) -> str:
    text = (escape(cell.text), f"<strong>{escape(cell.text)}</strong>", f"<u>{escape(cell.text)}</u>")[cell.rank]
    return f"<td>{text}{f'<sup>{escape(cell.sign)}</sup>' if cell.sign else ''}</td>"
