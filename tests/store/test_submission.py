"""Submissions: whole or refused, without hosts, merged after the same checks."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_cases import PROVENANCE, bank, put, suite

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.store.leaderboard import read
from ood_bench.store.leaderboard_check import check
from ood_bench.store.merging import SCORES, merge
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.store.submission import opened, suite_of, write_submission
from ood_bench.suites import SetSpec, Suite

SIZES = {"test": 12, "a": 9, "b": 7, "c": 8}


def counted() -> Suite:
    return suite(sets={name: SetSpec(name, count=n) for name, n in SIZES.items()})


def filled(folder: Path, scorer: str = "msp", seed: int = 0, **fields: object) -> Store:
    store = Store(Home(folder))
    draw = np.random.default_rng(seed)
    for name, n in SIZES.items():
        put(store, draw.normal(name == "test", 1, n), name, scorer=scorer, **fields)
    store.put_outcomes(bank("test"), np.arange(12) % 3, np.arange(12) % 4)
    return store


def submitted(store: Store, out: Path) -> Path:
    write_submission(store, counted(), rows_of(store, counted()), out)
    return out


@pytest.mark.parametrize("name", ["sub.zip", "sub"])
def test_rows_of_a_submission_are_those_of_the_store(tmp_path: Path, name: str) -> None:
    store = filled(tmp_path / "home")
    path = submitted(store, tmp_path / name)
    with opened(path) as inside:
        assert rows_of(inside, counted()) == rows_of(store, counted())
        assert suite_of(inside).groups == counted().groups
    with pytest.raises(RequestError, match="is there already"):
        submitted(store, path)


def test_equal_records_give_equal_archives_without_hosts(tmp_path: Path) -> None:
    first = submitted(filled(tmp_path / "one"), tmp_path / "one.zip")
    elsewhere = {**PROVENANCE, "host": "secret-machine"}
    second = submitted(filled(tmp_path / "two", provenance=(elsewhere,)), tmp_path / "two.zip")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(second) as archive:
        assert not any(b"secret-machine" in archive.read(name) for name in archive.namelist())


def repacked(path: Path, out: Path, **changes: bytes | None) -> Path:
    """The archive with entries whose name holds a key replaced, or dropped where the value is None."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        done = set()
        for name in old.namelist():
            key = next((key for key in changes if key in name and key not in done), None)
            done.add(key)
            data = old.read(name) if key is None else changes[key]
            if data is not None:
                new.writestr(name, data)
    return out


def test_what_was_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    path = submitted(filled(tmp_path / "home"), tmp_path / "sub.zip")
    cases = {
        r"should have the sha256 .* was changed after submission": {"safetensors": b"other"},
        r"is listed but not there": {"outcomes": None},
        r"list of contents": {"submission.json": b"[]"},
    }
    for message, changes in cases.items():
        with pytest.raises(IntegrityError, match=message), opened(repacked(path, tmp_path / "bad.zip", **changes)):
            pass
    for name in ("../../evil.py", "/etc/passwd", "records/aa/../../x.json", "notes.txt"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "bad.zip", "w") as new:
            for entry in old.namelist():
                new.writestr(entry, old.read(entry))
            new.writestr(name, "x")
        with pytest.raises(IntegrityError, match="records, scores and a suite only"), opened(tmp_path / "bad.zip"):
            pass
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:300])
    with pytest.raises(IntegrityError, match=r"whole .zip"), opened(tmp_path / "cut.zip"):
        pass


def test_merging_makes_a_table_that_stands_its_own_check(tmp_path: Path) -> None:
    one = submitted(filled(tmp_path / "one"), tmp_path / "one.zip")
    two = submitted(filled(tmp_path / "two", "energy", seed=1), tmp_path / "folder")
    board = tmp_path / "board"
    assert len(merge(board, [one, two], counted()).new) == 10
    again = merge(board, [two], counted())
    assert (again.new, again.same) == ((), 5)
    assert {row.scorer for row in read(board / "toy.csv")} == {"msp", "energy"}
    report = check(board / "toy.csv", suites={"toy": counted()})
    assert (report.rows, report.findings, report.unverified) == (10, (), ())


def test_scores_beside_a_table_grow_with_it(tmp_path: Path) -> None:
    one = submitted(filled(tmp_path / "one"), tmp_path / "one.zip")
    two = submitted(filled(tmp_path / "two", "energy", seed=1), tmp_path / "two.zip")
    board = tmp_path / "board"
    merge(board, [one], counted())
    (board / f"toy{SCORES}").write_bytes(one.read_bytes())
    merge(board, [two], counted())
    with opened(board / f"toy{SCORES}") as scores:
        report = check(board / "toy.csv", stores=[scores], suites={"toy": counted()})
    assert (report.recomputed, report.findings) == (10, ())


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_written_where_a_submission_is_refused(tmp_path: Path) -> None:
    one = submitted(filled(tmp_path / "one"), tmp_path / "one.zip")
    board = tmp_path / "board"
    merge(board, [one], counted())
    before = contents(board)
    other = submitted(filled(tmp_path / "other", seed=5), tmp_path / "other.zip")
    with pytest.raises(
        IntegrityError, match=r"msp on net, set a is in the table with auroc .* one of the two is wrong"
    ):
        merge(board, [other], counted())
    small = replace(counted(), sets={**counted().sets, "c": SetSpec("c", count=9)})
    fresh = submitted(filled(tmp_path / "fresh", "energy"), tmp_path / "fresh.zip")
    with pytest.raises(IntegrityError, match="n_ood should be 9, the size of the suite's set, got 8: another split"):
        merge(board, [fresh], small)
    plugin = submitted(filled(tmp_path / "plugin", "mine", origin="plugin"), tmp_path / "plugin.zip")
    with pytest.raises(IntegrityError, match="rows of plug-ins, which others cannot run: mine"):
        merge(board, [plugin], counted())
    assert contents(board) == before
    assert len(merge(board, [plugin], counted(), plugins=True).new) == 5


def test_a_newer_version_replaces_the_older(tmp_path: Path) -> None:
    board = tmp_path / "board"
    merge(board, [submitted(filled(tmp_path / "one"), tmp_path / "one.zip")], counted())
    newer = submitted(filled(tmp_path / "two", seed=2, version="2"), tmp_path / "two.zip")
    done = merge(board, [newer], counted())
    assert len(done.replaced) == 5
    assert {row.scorer_version for row in read(board / "toy.csv")} == {"2"}
