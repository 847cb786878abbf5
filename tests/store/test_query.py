"""SQL over the record files: what is stored is what is answered, and nothing outside can be touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_cases import put

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.store.query import query
from ood_bench.store.records import Run, Skipped
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.suites import SetSpec, Suite, load_suite, write_suite

pytest.importorskip("duckdb", reason="queries need the extra `query`")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    sets = {name: SetSpec(name) for name in ("test", "a")}
    write_suite(
        home, Suite(name="toy", source=Path("toy"), origin="home", test="test", groups={"near": ("a",)}, sets=sets)
    )
    store = Store(home)
    for scorer, params in (("knn", {"k": 50}), ("msp", {}), ("odd", {"text": "a'b", "list": [1, 2]})):
        for name, values in {"test": [1.0, 2.0, 3.0], "a": [0.5, 2.5]}.items():
            put(store, np.array(values), name, scorer=scorer, params=params, score_seconds=0.25, fit_seconds=None)
    store.put_run(
        Run(
            id="20260102T030405Z-aaaaaa",
            time="2026-01-02T03:04:05+00:00",
            suite="toy",
            model="net",
            model_seed=None,
            banks={},
            head_sha256=None,
            request={"scorers": ["all"]},
            records=("a" * 64, "b" * 64),
            skipped=(Skipped("vim", "net", "toy", "no fit bank"),),
        )
    )
    return home


def test_rows_are_the_tables_rows(home: Home) -> None:
    answer = query(home, "SELECT scorer, set, auroc, n_id, model_seed FROM rows ORDER BY scorer, set")
    expected = [
        (row.scorer, row.set, row.auroc, row.n_id, row.model_seed)
        for row in rows_of(Store(home), load_suite("toy", home))
    ]
    assert answer.columns == ("scorer", "set", "auroc", "n_id", "model_seed")
    assert sorted(answer.lines) == sorted(expected)
    assert query(home, "SELECT min(auroc_lo) > 0 FROM rows").lines == ((True,),)


def test_records_and_runs(home: Home) -> None:
    lines = query(home, "SELECT scorer, sum(score_seconds), count(*) FROM records GROUP BY 1 ORDER BY 1").lines
    assert lines == (("knn", 0.5, 2), ("msp", 0.5, 2), ("odd", 0.5, 2))
    assert query(home, "SELECT DISTINCT params->>'k' FROM records WHERE scorer = 'knn'").lines == (("50",),)
    assert query(home, "SELECT count(DISTINCT sha256), min(time)::VARCHAR FROM records").lines == (
        (6, "2026-01-02 03:04:05"),
    )
    found = query(home, "SELECT id, time::VARCHAR, len(records), skipped[1].reason FROM runs").lines
    assert found == (("20260102T030405Z-aaaaaa", "2026-01-02 03:04:05", 2, "no fit bank"),)


def test_an_empty_home_has_empty_tables(tmp_path: Path) -> None:
    for table in ("rows", "records", "runs"):
        answer = query(Home(tmp_path / "none"), f"SELECT * FROM {table}")
        assert answer.lines == ()
        assert "model" in answer.columns


@pytest.mark.parametrize(
    "sql",
    ["COPY records TO '{out}'", "SELECT * FROM read_csv('/etc/passwd')", "ATTACH '{out}'", "SELECT * FROM nothing"],
)
def test_files_are_out_of_reach(home: Home, tmp_path: Path, sql: str) -> None:
    out = tmp_path / "out.db"
    with pytest.raises(RequestError, match="tables records, runs and rows, but DuckDB says"):
        query(home, sql.format(out=out))
    assert not out.exists()


def test_a_damaged_record_is_an_error_and_not_a_missing_line(home: Home) -> None:
    path = next(home.records.rglob("*.json"))
    path.write_text(path.read_text()[:-30])
    with pytest.raises(IntegrityError, match=r"should all be whole JSON.*store check names the damaged one"):
        query(home, "SELECT * FROM records")
