"""Rows as a pandas table; the only module of the store that imports pandas."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ood_bench.store.row import COLUMNS, FLOATS, INTEGERS, Row


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """One line per row, the leaderboard's columns in their order; what is missing is pandas' own missing value."""
    table = [row.columns() for row in rows]
    columns = {name: pd.Series([row[name] for row in table], dtype=_dtype(name)) for name in COLUMNS}
    return pd.DataFrame(columns, columns=list(COLUMNS))


def _dtype(name: str) -> str:
    return "Int64" if name in INTEGERS else "float64" if name in FLOATS else "object"
