"""SCOD and full-spectrum rows out of stored scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_cases import bank, put, suite

from ood_bench.home import Home
from ood_bench.metrics.ood import ood_metrics
from ood_bench.metrics.scod import scod_metrics
from ood_bench.store.store import Store
from ood_bench.tasks.catalogue import chosen_tasks, get_task, task_rows
from ood_bench.tasks.fsood import unsupported

SHIFTED = suite(groups={"near": ("a",), "far": ("c",)}, shifted={"blur": ("blur-1",), "noise": ("noise-1",)})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    kept, rng = Store(Home(tmp_path)), np.random.default_rng(1)
    for name, count, mean in (("test", 40, 2), ("blur-1", 30, 1), ("noise-1", 20, 1), ("a", 25, 0), ("c", 15, -1)):
        put(kept, rng.normal(mean, 1, count), name)
        labels = rng.integers(0, 2, count) if mean > 0 else np.full(count, -1)
        kept.put_outcomes(bank(name), rng.integers(0, 2, count), labels)
    return kept


def scores(store: Store, name: str) -> np.ndarray:
    return store.scores(next(record for record in store.records() if record.set == name))


def test_full_spectrum_pools_rows_by_count(store: Store) -> None:
    rows = {(row.group, row.set): row for row in task_rows("fsood", store, SHIFTED)}
    pooled = np.concatenate([scores(store, name) for name in ("test", "blur-1", "noise-1")])
    expected = ood_metrics(pooled, scores(store, "a"))
    near = rows["near", "a"]
    assert (near.values["auroc"], near.values["fpr95_ood_positive"]) == (expected.auroc, expected.fpr95_ood_positive)
    assert (near.values["n_id"], near.values["n_shifted"], near.n) == (40, 50, 115)
    assert rows["near", "mean"].values["n_id"] == 40
    right = np.concatenate(
        [np.equal(*(store.outcomes(bank(name)) or ())) for name in ("test", "blur-1", "noise-1")]
    ).mean()
    assert near.values["id_accuracy"] == pytest.approx(right)


def test_an_empty_full_spectrum_is_a_reason_and_no_crash(store: Store) -> None:
    """CIFAR-100 has no shifted sets in OpenOOD, whose evaluator then crashes."""
    plain = suite(groups={"near": ("a",)})
    reason = "suite toy has no shifted ID sets, so its full spectrum is the OOD task; name some with --shifted"
    assert unsupported(plain) == reason
    assert task_rows("fsood", store, plain) == []
    assert chosen_tasks((), plain) == ("ood", "selective", "scod", "calibration", "abstention")


def test_a_shifted_set_without_scores_is_named(store: Store) -> None:
    more = replace(SHIFTED, shifted={**SHIFTED.shifted, "fog": ("fog-1",)})
    (row,) = task_rows("fsood", store, more)
    assert row.status == "skipped"
    assert "no scores on fog-1" in (row.reason or "")


def test_scod_is_half_ood(store: Store) -> None:
    rows = {(row.group, row.set): row for row in task_rows("scod", store, SHIFTED)}
    predicted, labels = store.outcomes(bank("test")) or (np.empty(0), np.empty(0))
    expected = scod_metrics(scores(store, "test"), predicted == labels, scores(store, "a"), ood_weight=40 / 25)
    assert rows["near", "a"].values["aurc"] == expected.aurc
    assert rows["near", "a"].values["auroc"] == expected.auroc
    assert rows["near", "mean"].values["oscr"] == rows["near", "a"].values["oscr"]
    assert set(rows) == {("near", "a"), ("near", "mean"), ("far", "c"), ("far", "mean")}
    assert set(rows["far", "c"].values) == {column.name for column in get_task("scod").columns}
