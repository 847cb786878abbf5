"""OpenOOD's own CSV of its own per-sample scores (SCALE, ResNet-18, CIFAR-10), recomputed to the last printed digit."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ood_bench.metrics.ood import OodMetrics, SortedScores, id_accuracy, mean_metrics, ood_metrics
from ood_bench.metrics.seeds import over_seeds

GROUPS = {"near": ("cifar100", "tin"), "far": ("mnist", "svhn", "texture", "places365")}
COLUMNS = {
    "FPR@95": "fpr95_ood_positive",
    "AUROC": "auroc",
    "AUPR_IN": "aupr_in_trapezoid",
    "AUPR_OUT": "aupr_out_trapezoid",
}


def of_one_seed(path: Path) -> tuple[dict[str, OodMetrics], float]:
    with np.load(path, allow_pickle=False) as arrays:
        inside = SortedScores(arrays["id__test__conf"])
        rows: dict[str, OodMetrics] = {}
        for group, sets in GROUPS.items():
            of_group = {name: ood_metrics(inside, arrays[f"ood__{group}__{name}__conf"]) for name in sets}
            rows |= of_group | {f"{group}ood": mean_metrics(of_group.values())}
        return rows, id_accuracy(arrays["id_preds"], arrays["id_labels"])


def test_every_cell_of_the_csv(shared: Path) -> None:
    folder = shared / "data" / "openood-scale-scores"
    seeds = [of_one_seed(folder / f"cifar10_s{seed}.npz") for seed in range(3)]
    (printed,) = folder.glob("cifar10_*.csv")
    with printed.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row[""] for row in table] == [*GROUPS["near"], "nearood", *GROUPS["far"], "farood"]
    accuracy = over_seeds([found for _, found in seeds]).percent()
    for row in table:
        ours = {
            column: over_seeds([getattr(rows[row[""]], field) for rows, _ in seeds]).percent()
            for column, field in COLUMNS.items()
        }
        assert ours | {"": row[""], "ACC": accuracy} == row


def test_the_deviation_says_its_ddof() -> None:
    assert over_seeds([0.1, 0.3]).std == pytest.approx(0.1)
    assert over_seeds([0.1, 0.3], ddof=1).std == pytest.approx(0.1 * 2**0.5)
    assert over_seeds([0.25], ddof=1).std is None
    assert over_seeds([0.25], ddof=1).percent() == "25.00"
    with pytest.raises(ValueError, match="at least one seed"):
        over_seeds([])
