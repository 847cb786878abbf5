"""Rows against numbers worked out by hand, and the reason for every one that cannot be computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_cases import PROVENANCE, bank, put, suite

from ood_bench.canonical import sha256_of
from ood_bench.home import Home
from ood_bench.store.records import Run, Skipped
from ood_bench.store.rows import COLUMNS, Row, rows_of
from ood_bench.store.store import Store
from ood_bench.suites import SetSpec

DESIGN_COLUMNS = (
    "schema,suite,protocol,model,model_seed,scorer,params,profile,tuned_on,seed,n_seeds,set,group,n_id,n_ood,auroc,"
    "auroc_lo,auroc_hi,auroc_std,fpr95_id_positive,fpr95_ood_positive,aupr_in,aupr_out,id_accuracy,fit_seconds,"
    "score_seconds,device,inputs_sha256,scores_sha256,scorer_version,origin,status,reason,ood_bench_version,date"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home(tmp_path / "home"))


def fill(store: Store, scorer: str = "msp", **fields: object) -> list[str]:
    """ID 1 2 3 4 against a: 0 1 (one tie), b: 2.5 (in the middle), c: 5 (above all); the records' names."""
    values = {"test": [1, 2, 3, 4], "a": [0, 1], "b": [2.5], "c": [5]}
    return [put(store, scores, name, scorer=scorer, **fields).key.sha256 for name, scores in values.items()]


def by_set(rows: list[Row], scorer: str = "msp") -> dict[tuple[str, str], Row]:
    return {(row.group, row.set): row for row in rows if row.scorer == scorer}


def run_of(records: list[str], **fields: object) -> Run:
    plain = {
        "id": "20260102T030405Z-aaaaaa",
        "time": "2026-01-02T03:04:05Z",
        "suite": "toy",
        "model": "net",
        "model_seed": None,
        "banks": {name: bank(name) for name in ("test", "a", "b", "c")},
        "head_sha256": None,
        "request": {},
        "records": tuple(records),
    }
    return Run(**{**plain, **fields})  # type: ignore[arg-type]  # fields come by name


def test_the_columns_are_those_of_the_design_in_their_order() -> None:
    assert ",".join(COLUMNS) == DESIGN_COLUMNS


def test_metrics_and_means_by_hand(store: Store) -> None:
    fill(store, score_seconds=0.5, fit_seconds=2.0)
    store.put_outcomes(bank("test"), np.array([0, 1, 2, 2]), np.array([0, 1, 2, 0]))
    rows = by_set(rows_of(store, suite()))
    assert list(rows) == [("near", "a"), ("near", "b"), ("near", "mean"), ("far", "c"), ("far", "mean")]
    a, b, near, c = rows["near", "a"], rows["near", "b"], rows["near", "mean"], rows["far", "c"]
    # a: of the 8 pairs 7 are won and one (1, 1) is tied; b: 2 of 4 pairs are won; c: none
    assert (a.auroc, b.auroc, c.auroc) == (7.5 / 8, 0.5, 0.0)
    # keeping all four ID scores needs the threshold 1, which one of a, all of b and c pass
    assert (a.fpr95_id_positive, b.fpr95_id_positive, c.fpr95_id_positive) == (0.5, 1.0, 1.0)
    # catching all of a needs the threshold 1 (one ID score), of b 2.5 (two), of c 5 (four)
    assert (a.fpr95_ood_positive, b.fpr95_ood_positive, c.fpr95_ood_positive) == (0.25, 0.5, 1.0)
    assert near.auroc == (7.5 / 8 + 0.5) / 2
    assert near.fpr95_id_positive == 0.75
    assert (a.n_id, a.n_ood, near.n_id, near.n_ood) == (4, 2, 4, 3)
    assert {row.id_accuracy for row in rows.values()} == {0.75}
    # the fit is shared; scoring the ID set is counted once in a mean
    assert (near.fit_seconds, a.score_seconds, near.score_seconds) == (2.0, 1.0, 1.5)
    assert (a.status, a.reason, a.n_seeds, a.auroc_lo, a.auroc_std) == ("ok", None, 1, None, None)
    assert (a.suite, a.protocol, a.model, a.params, a.origin) == ("toy", "ours", "net", "{}", "ours")
    assert (a.device, a.ood_bench_version, a.date) == ("cpu", "0.1.0", PROVENANCE["time"])


def test_hashes_cover_what_went_in(store: Store) -> None:
    fill(store, head_sha256="e" * 64, fit_sha256="f" * 64, fit_split="fit")
    row = by_set(rows_of(store, suite()))["near", "a"]
    assert row.inputs_sha256 == sha256_of(
        {"fit": "f" * 64, "val": None, "head": "e" * 64, "id": [bank("test")], "ood": [bank("a")]}
    )
    inside, outside = row.sources
    assert row.scores_sha256 == sha256_of({"id": [inside.scores_sha256], "ood": [outside.scores_sha256]})
    assert store.get(outside.record) is not None


def test_a_missing_set_has_a_reason_and_so_has_its_mean(store: Store) -> None:
    fill(store)
    for path in store.home.records.rglob("*.json"):
        if '"set": "b"' in path.read_text():
            path.unlink()
    rows = by_set(rows_of(store, suite()))
    b, near = rows["near", "b"], rows["near", "mean"]
    assert (b.status, b.auroc, near.status, near.auroc, near.n_ood) == ("skipped", None, "skipped", None, None)
    assert b.reason is not None
    assert "no scores on b" in b.reason
    assert "ood-bench run --suite toy --model net --scorer msp" in b.reason
    assert near.reason == "the mean over near needs every set of it, but there is no number for b"
    assert rows["near", "a"].status == rows["far", "mean"].status == "ok"


def test_without_id_scores_nothing_is_computed(store: Store) -> None:
    put(store, [1, 2], "a")
    rows = rows_of(store, suite())
    assert {row.status for row in rows} == {"skipped"}
    assert "no scores on test" in (by_set(rows)["near", "a"].reason or "")
    rows = rows_of(store, suite(test=None))
    assert "names no ID test set; name one with --test" in (by_set(rows)["near", "a"].reason or "")


def test_a_constant_scorer_fails_and_a_constant_set_is_marked(store: Store) -> None:
    for name, scores in {"test": [1, 1], "a": [1, 1, 1], "b": [2, 2], "c": [1, 2]}.items():
        put(store, scores, name)
    rows = by_set(rows_of(store, suite()))
    a, b, c = rows["near", "a"], rows["near", "b"], rows["far", "c"]
    assert (a.status, a.auroc) == ("failed", None)
    assert a.reason == "the score is 1 for every ID and OOD sample, so it ranks nothing"
    assert (b.status, b.auroc, b.reason) == ("ok", 0.0, "constant on this set; on ID: constant on this set")
    assert (c.status, c.auroc, c.reason) == ("ok", 0.25, "on ID: constant on this set")
    assert rows["near", "mean"].status == "skipped"


def test_marks_of_the_records_reach_the_row(store: Store) -> None:
    fill(store, marks=("features are not non-negative",), precision="bf16")
    rows = by_set(rows_of(store, suite()))
    assert rows["near", "a"].reason == "features are not non-negative; computed in bf16"
    assert rows["near", "mean"].reason == rows["near", "a"].reason


def test_a_run_shows_its_records_and_what_it_could_not_do(store: Store) -> None:
    fill(store, "energy")
    kept = fill(store, "msp")
    run = run_of(
        [*kept[:2], *kept[3:]],
        skipped=(Skipped("react:q=0.9+vim:dim=4", "net", "toy", "no head"),),
        failed=(Skipped("msp", "net", "toy", "the score is NaN", set="b"),),
    )
    rows = rows_of(store, suite(), run=run)
    assert {row.scorer for row in rows} == {"msp", "react+vim"}
    of_msp, of_react = by_set(rows), by_set(rows, "react+vim")
    assert (of_msp["near", "b"].status, of_msp["near", "b"].reason) == ("failed", "the score is NaN")
    assert (of_msp["near", "a"].status, of_msp["near", "mean"].status) == ("ok", "skipped")
    assert {(row.status, row.reason) for key, row in of_react.items() if key[1] != "mean"} == {("skipped", "no head")}
    assert of_react["near", "a"].params == '{"react.q":0.9,"vim.dim":4}'


def test_the_latest_run_says_which_bank_a_set_name_means(store: Store) -> None:
    fill(store)
    for name in ("test", "a", "b", "c"):  # the same names with other images behind them, from another suite
        put(store, [9, 8], name, bank_sha256=bank(f"other {name}"))
    store.put_run(run_of([]))
    rows = rows_of(store, suite())
    assert len(rows) == 5
    assert by_set(rows)["near", "a"].n_id == 4
    replaced = {name: bank(f"other {name}") for name in ("test", "a", "b", "c")}
    store.put_run(run_of([], id="20260103T030405Z-aaaaaa", banks=replaced))
    assert by_set(rows_of(store, suite()))["near", "a"].n_id == 2


def test_without_a_run_the_hash_of_the_list_tells_sets_apart(store: Store) -> None:
    fill(store, list_sha256="1" * 64)
    for name in ("test", "a", "b", "c"):
        put(store, [9, 8], name, bank_sha256=bank(f"other {name}"), list_sha256="2" * 64)
    listed = {name: SetSpec(name, list_sha256="1" * 64) for name in ("test", "a", "b", "c")}
    assert by_set(rows_of(store, replace(suite(), sets=listed)))["near", "a"].n_id == 4


def test_records_fitted_on_another_bank_or_head_are_not_of_this_suite(store: Store) -> None:
    fill(store, "knn", fit_sha256=bank("fit"), fit_split="fit")
    fill(store, "knn-other", fit_sha256=bank("another fit"), fit_split="fit")
    fill(store, "vim", head_sha256=bank("another head"))
    banks = {name: bank(name) for name in ("fit", "test", "a", "b", "c")}
    store.put_run(run_of([], banks=banks, head_sha256=bank("head")))
    assert {row.scorer for row in rows_of(store, suite(fit="fit"))} == {"knn"}


def test_the_latest_version_of_a_scorer_counts(store: Store) -> None:
    fill(store, version="1", provenance=({**PROVENANCE, "time": "2026-01-01T00:00:00Z"},))
    fill(store, version="2", provenance=({**PROVENANCE, "time": "2026-01-05T00:00:00Z"},))
    rows = rows_of(store, suite())
    assert len(rows) == 5
    assert {row.scorer_version for row in rows} == {"2"}


def test_filters_keep_models_and_scorers(store: Store) -> None:
    fill(store, "msp")
    fill(store, "knn", params={"k": 5}, spec="knn:k=5")
    fill(store, "msp", model="other", head_sha256=bank("head of other"))
    rows = rows_of(store, suite(), models=["net"], scorers=["knn:k=5"])
    assert {(row.model, row.scorer, row.params) for row in rows} == {("net", "knn", '{"k":5}')}
    assert {row.model for row in rows_of(store, suite(), scorers=["msp"])} == {"net", "other"}
