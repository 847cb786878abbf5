"""Selective prediction through the command line and from the store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_cases import bank, put, suite

from ood_bench.cli import main
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.metrics.selective import selective_metrics
from ood_bench.store.store import Store
from ood_bench.tasks.catalogue import task_rows
from ood_bench.tasks.render import render_task
from ood_bench.tasks.selective import SELECTIVE


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0), capsys.readouterr().out


def test_mnist_error_detection_is_the_published_one(
    shared: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """published_results.txt: error rate 0.94, FPR95 6.56, AUROC 98.45, AUPR 35.47 of the maximum softmax probability."""
    import_folder(
        Home(home),
        shared / "data" / "mnist-oe-baseline",
        model="convnet",
        suite="mnist",
        test="test",
        far=["kmnist105"],
    )
    code, out = call(capsys, "run", "--suite", "mnist", "--model", "convnet", "--scorer", "msp", "--json")
    assert code == 0
    document = json.loads(out)
    (row,) = document["tasks"]["selective"]["rows"]
    assert [f"{100 * row[name]:.2f}" for name in ("failure_fpr95", "failure_auroc", "failure_aupr_error")] == [
        "6.56",
        "98.45",
        "35.47",
    ]
    assert f"{100 * (1 - row['accuracy']):.2f}" == "0.94"
    assert (row["scorer"], row["set"], row["group"], row["n"], row["status"]) == ("msp", "test", "test", 10_000, "ok")
    assert [one["set"] for one in document["rows"]] == ["kmnist105", "mean"]  # OOD alone
    assert "accuracy" not in document["tasks"]  # nothing is shifted here
    code, table = call(capsys, "table", "--suite", "mnist", "--task", "selective")
    assert code == 0
    assert "98.45" in table
    assert "AUROC ↑  FPR95" not in table  # the OOD table was not asked for
    assert main_says(capsys, "run", "--suite", "mnist", "--model", "convnet", "--task", "accuracy") == (
        "Error: task accuracy: suite mnist has no shifted sets to estimate the accuracy on; name some with --shifted\n"
    )
    assert "did you mean 'selective'" in main_says(capsys, "table", "--suite", "mnist", "--task", "selectiv")


def main_says(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    assert left.value.code == 2
    return capsys.readouterr().err


def test_tables_of_tasks_need_no_torch() -> None:
    code = (
        "import sys, ood_bench.cli.table, ood_bench.tasks.catalogue, ood_bench.tasks.publish; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_are_the_metrics_of_stored_scores(tmp_path: Path) -> None:
    store, rng = Store(Home(tmp_path)), np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    for name in ("test", "blur-1", "blur-2"):
        predicted = np.where(rng.random(50) < 0.7, labels, (labels + 1) % 3)
        store.put_outcomes(bank(name), predicted, labels)
        put(store, rng.normal(size=50), name)
    put(store, [1.0, 2.0], "a")
    shifted = suite(shifted={"blur": ("blur-1", "blur-2")})
    rows = task_rows("selective", store, shifted)
    assert [(row.group, row.set) for row in rows] == [
        ("test", "test"),
        ("blur", "blur-1"),
        ("blur", "blur-2"),
        ("blur", "mean"),
    ]
    record = next(r for r in store.records() if r.set == "blur-2")
    predicted, labels = store.outcomes(bank("blur-2")) or (labels, labels)
    expected = selective_metrics(store.scores(record), predicted == labels)
    assert rows[2].values["aurc"] == expected.aurc
    assert rows[2].values["failure_fpr95"] == expected.failure_fpr95
    assert rows[3].values["aurc"] == pytest.approx((float(rows[1].values["aurc"]) + expected.aurc) / 2)


def test_what_is_missing_has_a_reason(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    put(store, [3.0, 2.0, 1.0])
    (row,) = task_rows("selective", store, suite())
    assert (row.status, row.values) == ("skipped", {})
    assert row.reason == "test has no labels or no logits, so nobody knows which predictions are right"
    store.put_outcomes(bank("test"), np.array([0, 1, 2]), np.array([0, 1, 2]))
    (row,) = task_rows("selective", store, suite())
    assert row.values["failure_auroc"] is None
    assert row.reason == "every prediction on test is right, so there is nothing to rank"
    assert "–" in render_task(SELECTIVE, [row])


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    put(store, [4.0, 3.0, 2.0, 1.0])
    store.put_outcomes(bank("test"), np.array([0, 1, 1, 0]), np.array([0, -1, 0, 1]))
    (row,) = task_rows("selective", store, suite())
    assert (row.n, row.values["accuracy"], row.values["failure_auroc"]) == (3, pytest.approx(1 / 3), 1.0)
