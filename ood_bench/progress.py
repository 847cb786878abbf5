"""A progress bar on a terminal or in a notebook; nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tqdm import tqdm
from tqdm.notebook import tqdm_notebook

Progress = Callable[[str, int, int], None]


@contextmanager
def progress_bar(unit: str = "rows") -> Iterator[Progress]:
    """A function `(name, done, total)` that moves one bar, a new one for each name."""
    bar: Any = None
    name_shown = ""

    def show(name: str, done: int, total: int) -> None:
        nonlocal bar, name_shown
        if bar is None or name != name_shown:
            if bar is not None:
                bar.close()
            bar, name_shown = _bar(name, total, unit), name
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def _bar(name: str, total: int, unit: str) -> Any:
    in_notebook = "ipykernel" in sys.modules and find_spec("ipywidgets") is not None
    if in_notebook:
        return tqdm_notebook(total=total, desc=name, unit=f" {unit}", leave=False)
    return tqdm(total=total, desc=name, unit=f" {unit}", unit_scale=True, leave=False, disable=None, file=sys.stderr)
