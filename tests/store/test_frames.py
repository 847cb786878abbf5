"""Rows as a pandas table."""

from __future__ import annotations

from ood_bench.store.frames import to_frame
from ood_bench.store.row import COLUMNS, Row


def test_columns_kinds_and_missing_values() -> None:
    row = Row(suite="toy", model="net", scorer="msp", set="a", group="near", n_id=3, auroc=0.5, status="ok")
    table = to_frame([row, row])
    assert tuple(table.columns) == COLUMNS
    assert (str(table["n_id"].dtype), str(table["auroc"].dtype)) == ("Int64", "float64")
    assert table.loc[0, "n_id"] == 3
    assert table["auroc"].sum() == 1.0
    assert table[["model_seed", "auroc_lo", "reason"]].isna().all(axis=None)
    assert tuple(to_frame([]).columns) == COLUMNS
