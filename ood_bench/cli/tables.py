"""A plain listing on a terminal, or its JSON."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ood_bench.cli.options import print_json

WIDE = 160  # what a pipe or file gets, where there is no terminal to measure


def show(kind: str, items: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool) -> None:
    """`{"schema": 1, KIND: [...]}`, or the named columns of each item as a table."""
    if as_json:
        print_json({"schema": 1, kind: list(items)})
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDE, shutil.get_terminal_size().columns))
    if not items:
        console.print(f"There are no {kind} yet.")
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for item in items:
        table.add_row(*(escape(_text(item.get(column))) for column in columns))
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
