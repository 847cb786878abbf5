"""Tables as LaTeX with booktabs."""

from __future__ import annotations

from ood_bench.render.layout import Cell, Layout, Panel

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "·": r"$\cdot$",
    "–": "--",
}


def to_latex(layout: Layout) -> str:
    """One `table` per panel; best in bold, second best underlined. Needs the package booktabs and T1 fonts."""
    head = "% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}\n"
    legend = " ".join((*(escape(note) for note in layout.legend), "Bold: best; underlined: second best."))
    return head + "\n".join(_table(panel, legend) for panel in layout.panels)


def escape(text: str) -> str:
    """The text with every character that TeX would act on written as a command."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _table(panel: Panel, legend: str) -> str:
    columns = "l" + "".join("r" * len(block.headings) for block in panel.blocks)
    titles, rules, first = [], [], 2
    for block in panel.blocks:
        last = first + len(block.headings) - 1
        titles.append(rf"\multicolumn{{{len(block.headings)}}}{{c}}{{{escape(block.title)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{last}}}")
        first = last + 1
    headings = [escape(heading) for block in panel.blocks for heading in block.headings]
    body = [
        " & ".join([_first_cell(escape(line.label)), *(_cell(cell) for block in line.cells for cell in block)])
        for line in panel.lines
    ]
    notes = [
        *(rf"$^{{{sign}}}$ {escape(text)}" for sign, text in panel.footnotes),
        *(escape(reason) for reason in panel.reasons),
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(panel.caption)}. {legend}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(["", *titles]) + r" \\",
            " ".join(rules),
            " & ".join([panel.who, *headings]) + r" \\",
            r"\midrule",
            *(rf"{row} \\" for row in body),
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip\footnotesize", *(rf"{note}\par" for note in notes)] if notes else []),
            r"\end{table}",
            "",
        ]
    )


def _first_cell(text: str) -> str:
    """A cell that begins with a bracket or a star would be read as an argument of the line break before it."""
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    ranked = (text, rf"\textbf{{{text}}}", rf"\underline{{{text}}}")[cell.rank]
    return ranked + (rf"$^{{{cell.sign}}}$" if cell.sign else "")
