"""Rows, records and runs as pandas tables; the only module of the store that imports pandas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import pandas as pd

from ood_bench.store.row import COLUMNS, FLOATS, INTEGERS, Row
from ood_bench.store.store import Store


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """One line per row, the leaderboard's columns in their order; what is missing is pandas' own missing value."""
    table = [row.columns() for row in rows]
    columns = {name: pd.Series([row[name] for row in table], dtype=_dtype(name)) for name in COLUMNS}
    return pd.DataFrame(columns, columns=list(COLUMNS))


def records_frame(store: Store) -> pd.DataFrame:
    """One line per score record, sorted by its name: the key's fields, what was scored, and the first provenance."""
    lines = []
    for record in store.records():
        first = record.provenance[0] if record.provenance else None
        about = {name: value for name, value in asdict(record).items() if name not in ("key", "provenance")}
        lines.append(
            {
                "sha256": record.key.sha256,
                **asdict(record.key),
                **about,
                "time": record.time or None,
                "device": None if first is None else first["device"],
            }
        )
    return pd.DataFrame(lines)


def runs_frame(store: Store) -> pd.DataFrame:
    """One line per run, the oldest first."""
    return pd.DataFrame([asdict(run) for run in store.runs()])


def _dtype(name: str) -> str:
    return "Int64" if name in INTEGERS else "float64" if name in FLOATS else "object"
