"""Rows as a pandas table."""

from __future__ import annotations

from pathlib import Path

from store_cases import put

from ood_bench.home import Home
from ood_bench.store.frames import records_frame, runs_frame, to_frame
from ood_bench.store.row import COLUMNS, Row
from ood_bench.store.store import Store


def test_columns_kinds_and_missing_values() -> None:
    row = Row(suite="toy", model="net", scorer="msp", set="a", group="near", n_id=3, auroc=0.5, status="ok")
    table = to_frame([row, row])
    assert tuple(table.columns) == COLUMNS
    assert (str(table["n_id"].dtype), str(table["auroc"].dtype)) == ("Int64", "float64")
    assert table.loc[0, "n_id"] == 3
    assert table["auroc"].sum() == 1.0
    assert table[["model_seed", "auroc_lo", "reason"]].isna().all(axis=None)
    assert tuple(to_frame([]).columns) == COLUMNS


def test_records_as_a_table(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    assert records_frame(store).empty
    assert runs_frame(store).empty
    kept = put(store, [1.0, 2.0], "test", scorer="knn", params={"k": 5}, score_seconds=0.5)
    table = records_frame(store)
    assert table.loc[0, ["sha256", "scorer", "set", "n", "score_seconds"]].tolist() == [
        kept.key.sha256,
        "knn",
        "test",
        2,
        0.5,
    ]
    assert table.loc[0, "params"] == {"k": 5}
