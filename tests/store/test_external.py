"""OpenOOD's own CSVs: all six are read to the last line, and what is known to be wrong is flagged."""

from __future__ import annotations

from pathlib import Path

import pytest

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.store.external import beside, is_known_bad, read_openood
from ood_bench.store.leaderboard_check import changes
from ood_bench.store.row import Row

HEADER = "Training,Postprocessor,Near-OOD_AUROC,Far-OOD_AUROC,ID_Accuracy,Outlier_Data,Arch,Additional_Description\n"


def made(tmp_path: Path, *lines: str, name: str = "cifar10.csv") -> Path:
    path = tmp_path / name
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


def test_the_six_files_are_read_whole(shared: Path) -> None:
    rows = read_openood(shared / "data" / "openood-leaderboard")
    lines = {}
    for row in rows:
        lines[row.suite] = lines.get(row.suite, 0) + 0.5
    # the numbers of entries that their site shows
    assert lines == {
        "openood-cifar10": 61,
        "openood-cifar100": 57,
        "openood-imagenet200": 56,
        "openood-imagenet200-fsood": 60,
        "openood-imagenet1k": 97,
        "openood-imagenet1k-fsood": 83,
    }
    assert {row.origin for row in rows} == {"external"}
    assert all((row.reason or "").startswith(("unverified", "no number")) for row in rows)
    assert all(row.auroc is None or 0.2 < row.auroc <= 1 for row in rows)


def test_known_bad_rows_are_flagged(shared: Path) -> None:
    rows = read_openood(shared / "data" / "openood-leaderboard")
    bad = {(row.suite, row.scorer, row.group) for row in rows if is_known_bad(row)}
    assert ("openood-imagenet1k", "combood", "near") in bad
    assert ("openood-imagenet200", "combood", "near") in bad
    assert {scorer for _, scorer, _ in bad} == {"combood", "gram"}
    assert not any(group == "far" for _, scorer, group in bad if scorer == "combood")
    # the first of their ranking by near-OOD on ImageNet is one of them
    best = max(
        (row for row in rows if row.suite == "openood-imagenet1k" and row.group == "near"), key=lambda r: r.auroc or 0
    )
    assert is_known_bad(best)
    flat = [row for row in rows if row.auroc_std == 0]
    assert len(flat) == 2 * 13
    assert all("± 0.00" in (row.reason or "") for row in flat)


def test_one_line_by_hand(tmp_path: Path) -> None:
    near, far = read_openood(made(tmp_path, "PixMix,MSP,93.90 ± 0.30,/,95.06 ± 0.25,Yes,ResNet18,100 epochs"))
    assert (near.suite, near.model, near.scorer) == ("openood-cifar10", "PixMix/ResNet18 (100 epochs)", "msp")
    assert (near.group, near.set, near.auroc, near.auroc_std, near.n_seeds) == ("near", "mean", 0.939, 0.003, 3)
    assert near.id_accuracy == 0.9506
    assert "trained with outliers" in (near.reason or "")
    assert (far.status, far.auroc, far.n_seeds) == ("skipped", None, None)
    assert (far.reason or "").startswith("no number is given; unverified")


def test_side_by_side_and_drift(tmp_path: Path) -> None:
    theirs = read_openood(made(tmp_path, "CrossEntropy,ReAct,87.11,90.42,95,No,ResNet18,"))
    ours = Row(suite="s", model="m", scorer="react+energy", set="mean", group="near", auroc=0.88, status="ok")
    pairs = beside(theirs, [ours])
    assert pairs[0].difference == pytest.approx(0.0089)
    assert (pairs[1].ours, pairs[1].difference) == (None, None)
    newer = read_openood(made(tmp_path, "CrossEntropy,ReAct,87.51,90.42,95,No,ResNet18,"))
    (line,) = changes(theirs, newer)
    assert "auroc 0.871100 -> 0.875100 (+0.004000)" in line


def test_what_is_not_theirs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"line 2 of .*: Near-OOD_AUROC should be percent .* got 'high'"):
        read_openood(made(tmp_path, "CrossEntropy,MSP,high,90,95,No,ResNet18,"))
    with pytest.raises(IntegrityError, match=r"percent .* got '876.2'"):
        read_openood(made(tmp_path, "CrossEntropy,MSP,876.2,90,95,No,ResNet18,"))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(IntegrityError, match=r"columns of .* should be Training"):
        read_openood(tmp_path / "other.csv")
    with pytest.raises(RequestError, match="cannot be read"):
        read_openood(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="has none of them"):
        read_openood(tmp_path / "empty")
