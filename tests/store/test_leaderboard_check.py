"""`leaderboard check`: one changed digit or score is found and its row named; nothing hand-typed passes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_cases import bank, put, suite

from ood_bench.bank.manifest import Identity, Manifest
from ood_bench.canonical import canonical_json
from ood_bench.home import Home
from ood_bench.store.leaderboard import export, read
from ood_bench.store.leaderboard_check import Report, check
from ood_bench.store.row import Row
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.suites import SetSpec, Suite

SIZES = {"test": 40, "a": 30, "b": 20, "c": 25}


def counted() -> Suite:
    return suite(sets={name: SetSpec(name, count=n) for name, n in SIZES.items()})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(Home(tmp_path / "home"))
    draw = np.random.default_rng(0)
    for scorer in ("energy", "msp"):
        for name, n in SIZES.items():
            put(store, draw.normal(name == "test", 1, n), name, scorer=scorer, score_seconds=0.5)
    store.put_outcomes(bank("test"), np.arange(40) % 3, np.arange(40) % 4)
    return store


@pytest.fixture
def table(store: Store, tmp_path: Path) -> Path:
    return export(rows_of(store, counted(), intervals=True), tmp_path / "lb")[0]


def checked(table: Path, *stores: Store, **options: object) -> Report:
    return check(table, stores=stores, suites={"toy": counted()}, **options)  # type: ignore[arg-type]


def rewrite(path: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change the rows behind a records file as somebody would who knows the format."""
    made = change(read(path))
    export(made, path.parent / "again")
    shutil.copy(path.parent / "again" / path.name, path)
    shutil.copy(path.parent / "again" / "toy.csv", path.parent / "toy.csv")


def test_an_export_has_nothing_against_it(store: Store, table: Path) -> None:
    report = checked(table, store)
    assert (report.rows, report.recomputed, report.recorded) == (10, 10, 0)
    assert (report.findings, report.unverified, report.changes) == ((), (), ())
    alone = checked(table)
    assert (alone.recomputed, alone.recorded, alone.findings, alone.unverified) == (0, 10, (), ())


@pytest.mark.parametrize("column", ["auroc", "auroc_lo", "fpr95_ood_positive", "aupr_in", "id_accuracy"])
def test_one_changed_digit_in_the_csv_names_row_and_column(table: Path, column: str) -> None:
    row = read(table)[3]
    old = f"{getattr(row, column):.6f}"
    lines = table.read_text().splitlines()
    assert old in lines[4]
    new = old[:-1] + str((int(old[-1]) + 1) % 10)
    lines[4] = lines[4].replace(old, new, 1)
    table.write_text("\n".join(lines) + "\n")
    (finding,) = checked(table).findings
    assert finding.startswith("line 5 (energy on net, set b)")
    assert f"{column} is {new}, its record says {old}" in finding


def test_an_edited_name_is_seen_too(table: Path) -> None:
    table.write_text(table.read_text().replace(",energy,", ",my-energy,", 1))
    assert any("scorer is my-energy, its record says energy" in finding for finding in checked(table).findings)


def test_one_changed_score_names_every_row_that_rests_on_it(store: Store, table: Path) -> None:
    (record,) = [one for one in store.records() if (one.set, one.key.scorer) == ("a", "msp")]
    path = store._scores_path(record)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    report = checked(table, store)
    assert report.recomputed == 8
    assert {finding.partition(")")[0] for finding in report.findings} == {
        "line 9 (msp on net, set a",
        "line 11 (msp on net, the mean over near",
    }
    assert all("should have the sha256" in finding for finding in report.findings)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"auroc": 0.5}, "auroc should be 0."),
        ({"fpr95_id_positive": 0.0}, "fpr95_id_positive should be"),
        ({"auroc_lo": 0.01}, "auroc_lo should be"),
        ({"id_accuracy": 0.9}, "id_accuracy should be"),
        ({"scorer_version": "7"}, "scorer_version is 7, the stored record of test says 1"),
        ({"params": '{"k":1}'}, 'params is {"k":1}, the stored record of test says {}'),
        ({"scores_sha256": "0" * 64}, "scores_sha256 should be the hash over the row's sources"),
    ],
)
def test_numbers_typed_into_both_files_do_not_follow_from_the_scores(
    store: Store, table: Path, change: dict[str, object], expected: str
) -> None:
    records = table.with_name("toy.records.jsonl")
    rewrite(records, lambda rows: [replace(r, **change) if r.scorer == "msp" and r.set == "c" else r for r in rows])
    report = checked(table, store)
    assert any(expected in finding and "msp" in finding and "set c" in finding for finding in report.findings)


def test_the_mean_must_be_the_mean(table: Path) -> None:
    rewrite(
        table.with_name("toy.records.jsonl"),
        lambda rows: [replace(r, auroc=0.5) if r.set == "mean" and r.group == "near" else r for r in rows],
    )
    findings = checked(table).findings
    assert any("the mean over near): auroc should be the mean over a, b, 0." in finding for finding in findings)


def test_an_entry_from_another_split_is_refused(store: Store, table: Path) -> None:
    other = replace(counted(), sets={**counted().sets, "b": SetSpec("b", count=21)})
    report = check(table, stores=[store], suites={"toy": other})
    assert [f for f in report.findings if "set b): n_ood should be 21, the size of the suite's set, got 20" in f]
    assert [f for f in report.findings if "the mean over near): n_ood should be 51" in f]
    moved = replace(counted(), groups={"near": ("a",), "far": ("b", "c")})
    report = check(table, stores=[], suites={"toy": moved})
    assert any("set should be one of a (group near), got 'b'" in finding for finding in report.findings)
    report = check(table, stores=[], suites={})
    assert all("suite should be one that is known here, got 'toy'" in finding for finding in report.findings)


def test_a_bank_at_hand_must_be_the_one_that_was_scored(table: Path) -> None:
    def manifest(model: str, n: int) -> Manifest:
        identity = Identity(model, None, "a", "", "row", "toy")
        return Manifest(identity, n, {}, (), 1, "", None, None, {}, "", bank("a"))

    assert checked(table, banks={bank("a"): manifest("net", 30)}).findings == ()
    wrong = checked(table, banks={bank("a"): manifest("other", 31)}).findings
    assert any("its ood bank" in finding and "is other on a, not net on a" in finding for finding in wrong)
    assert any("n_ood should be 31, the rows of its bank, got 30" in finding for finding in wrong)


def test_a_line_typed_by_hand_is_unverified(store: Store, table: Path) -> None:
    lines = table.read_text().splitlines()
    lines.append(lines[-1].replace(",msp,", ",zzz,"))
    table.write_text("\n".join(lines) + "\n")
    report = checked(table, store)
    assert report.unverified == ("line 12 (zzz on net, the mean over near)",)
    table.with_name("toy.records.jsonl").unlink()
    assert len(checked(table).unverified) == 11
    # without a records file the table is held against the stores themselves
    assert checked(table, store).unverified == ("line 12 (zzz on net, the mean over near)",)


def test_order_and_repetition_and_missing_rows(table: Path) -> None:
    text = table.read_text()
    header, *lines = text.splitlines()
    table.write_text("\n".join([header, lines[1], lines[0], *lines[2:]]) + "\n")
    assert any("the rows should be in the order of the export" in finding for finding in checked(table).findings)
    table.write_text("\n".join([header, lines[0], *lines]) + "\n")
    assert any("should stand once, is there 2 times" in finding for finding in checked(table).findings)
    table.write_text("\n".join([header, *lines[1:]]) + "\n")
    assert any("which is missing from the table" in finding for finding in checked(table).findings)


def test_changes_against_a_base_are_listed_from_1e4_on(table: Path, tmp_path: Path) -> None:
    base = tmp_path / "old.csv"
    rows = read(table)
    moved = replace(rows[0], auroc=(rows[0].auroc or 0) + 2e-4)
    slightly = replace(rows[1], auroc=(rows[1].auroc or 0) + 5e-5)
    gone = replace(rows[2], scorer="zzz")
    (old, _) = export([moved, slightly, *rows[3:], gone], tmp_path / "old")
    shutil.copy(old, base)
    changes = checked(table, base=base).changes
    assert [change.partition(":")[0] for change in changes] == ["changed", "gone", "new"]
    assert "energy on net, set c: auroc" in changes[0]
    assert "(-0.000200)" in changes[0]


def test_a_kept_interval_that_was_edited_is_found(store: Store, table: Path) -> None:
    records = table.with_name("toy.records.jsonl")
    row = read(records)[2]
    interval = row.interval("aupr_in")
    assert interval is not None
    records.write_text(records.read_text().replace(canonical_json(interval.low), "0.125"))
    assert any("the interval of aupr_in should be" in finding for finding in checked(table, store).findings)
