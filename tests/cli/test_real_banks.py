"""Import and run on real banks: numbers of their authors where they printed them, ours (and said so) elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from sklearn.metrics import roc_auc_score

Command = Callable[..., Any]
TASKS = ("--task", "ood", "--task", "selective")


def percents(document: Any, metric: str) -> dict[tuple[str, str], float]:
    return {(row["scorer"], row["set"]): 100 * row[metric] for row in document["rows"] if row["set"] != "mean"}


def by_hand(folder: Path, test: str, ood: str) -> dict[str, float]:
    """AUROC in percent of msp and energy from the files themselves, by SciPy and scikit-learn in float64."""
    logits = [np.load(folder / f"{name}.npz")["logits"].astype(np.float64) for name in (test, ood)]
    truth = np.concatenate([np.full(len(part), inside) for part, inside in zip(logits, (1, 0), strict=True)])
    rows = np.concatenate(logits)
    scores = {
        "msp": scipy.special.log_softmax(rows, axis=1).max(axis=1),
        "energy": scipy.special.logsumexp(rows, axis=1),
    }
    return {name: 100 * float(roc_auc_score(truth, score)) for name, score in scores.items()}


def test_the_mnist_network_of_outlier_exposure(command: Command, shared: Path, tmp_path: Path) -> None:
    """published_results.txt beside the bank: error 0.94 %, error detection AUROC 98.45 and FPR95 6.56 (errors positive).

    AUROC 99.31 +- 0.03 on FashionMNIST and 96.04 +- 0.09 on notMNIST are means over ten draws there; on all rows it is
    99.30 and 96.13 (SOURCES.md), which is what the cache must give.
    """
    folder, place = shared / "data" / "mnist-oe-baseline", tmp_path / "home"
    words = ("--fit", "train", "--test", "test", "--far", "fashionmnist,notmnist", "--home", place)
    assert command("import", folder, "--model", "mnist-convnet", "--suite", "mnist-network", *words).code == 0
    request = ("run", "--suite", "mnist-network", *TASKS, "--json", "--home", place)
    done = command(*request, *(word for name in ("msp", "energy", "vim", "mds") for word in ("--scorer", name)))
    assert done.code == 0
    auroc = percents(done.json, "auroc")
    assert round(auroc["msp", "fashionmnist"], 2) == 99.30
    assert round(auroc["msp", "notmnist"], 2) == 96.13
    assert {row["id_accuracy"] for row in done.json["rows"]} == {0.9906}
    (errors,) = [row for row in done.json["tasks"]["selective"]["rows"] if row["scorer"] == "msp"]
    assert round(100 * (1 - errors["accuracy"]), 2) == 0.94
    assert round(100 * errors["failure_auroc"], 2) == 98.45
    assert round(100 * errors["failure_fpr95"], 2) == 6.56
    for ood in ("fashionmnist", "notmnist"):
        for scorer, value in by_hand(folder, "test", ood).items():
            assert auroc[scorer, ood] == pytest.approx(value, abs=1e-3), (scorer, ood)
    # ours
    assert auroc["vim", "fashionmnist"] == pytest.approx(81.437, abs=0.01)
    assert auroc["vim", "notmnist"] == pytest.approx(92.232, abs=0.01)
    assert auroc["mds", "notmnist"] == pytest.approx(93.771, abs=0.01)


# Ours: nothing is published for these banks. (scorer, set) -> AUROC, FPR95 with ID positive, in percent.
RESNET20 = {
    ("msp", "tinyimagenet"): (73.711, 86.27),
    ("msp", "notmnist"): (80.222, 81.24),
    ("energy", "tinyimagenet"): (76.693, 78.31),
    ("energy", "textures"): (78.620, 74.58),
    ("vim", "tinyimagenet"): (81.996, 63.35),
    ("vim", "textures"): (91.902, 34.42),
    ("mds", "tinyimagenet"): (67.222, 85.43),
    ("mds", "notmnist"): (96.598, 18.81),
}


def test_resnet20_on_cifar10(command: Command, shared: Path, tmp_path: Path) -> None:
    folder, place = shared / "data" / "cifar10-resnet20", tmp_path / "home"
    words = ("--fit", "train_jpeg", "--test", "test_jpeg", "--near", "tinyimagenet", "--far", "notmnist,textures")
    assert command("import", folder, "--model", "resnet20", "--suite", "c10", *words, "--home", place).code == 0
    request = ("run", "--suite", "c10", *TASKS, "--json", "--home", place)
    done = command(*request, *(word for name in ("msp", "energy", "vim", "mds") for word in ("--scorer", name)))
    assert done.code == 0
    auroc, fpr = percents(done.json, "auroc"), percents(done.json, "fpr95_id_positive")
    for cell, (area, rate) in RESNET20.items():
        # float32 scores summed in another order move a tie or two: one row of textures is 0.08 points of FPR95
        assert auroc[cell] == pytest.approx(area, abs=0.01), cell
        assert fpr[cell] == pytest.approx(rate, abs=0.1), cell
    assert {row["id_accuracy"] for row in done.json["rows"]} == {0.8103}
    for ood in ("tinyimagenet", "notmnist", "textures"):
        for scorer, value in by_hand(folder, "test_jpeg", ood).items():
            assert auroc[scorer, ood] == pytest.approx(value, abs=1e-3), (scorer, ood)
    (errors,) = [row for row in done.json["tasks"]["selective"]["rows"] if row["scorer"] == "energy"]
    assert 100 * errors["failure_auroc"] == pytest.approx(82.816, abs=0.01)
