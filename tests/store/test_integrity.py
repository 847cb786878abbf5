"""Damage is found and named, what a killed process leaves is no damage, and gc touches nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_cases import bank, put

from ood_bench.home import Home
from ood_bench.store.integrity import check_store, find_leftovers, remove_leftovers
from ood_bench.store.records import Run
from ood_bench.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(Home(tmp_path / "home"))
    records = [put(store, [1.0, 2.0, 3.0], name) for name in ("test", "a")]
    store.put_outcomes(bank("test"), np.array([0, 1, 1]), np.array([0, 1, 2]))
    store.put_run(
        Run(
            id="20260102T030405Z-aaaaaa",
            time="2026-01-02T03:04:05Z",
            suite="toy",
            model="net",
            model_seed=None,
            banks={},
            head_sha256=None,
            request={},
            records=tuple(record.key.sha256 for record in records),
        )
    )
    return store


def one(store: Store, pattern: str) -> Path:
    return sorted(store.home.root.rglob(pattern))[0]


def test_a_whole_store_is_clean(store: Store) -> None:
    health = check_store(store.home)
    assert (health.records, health.outcomes, health.runs, health.damaged, health.leftovers) == (2, 1, 1, (), ())
    assert health.is_clean
    assert check_store(Home(store.home.root / "none")).is_clean


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("records/*/*.safetensors", "should have the sha256"),
        ("records/*/*.json", "cannot be read"),
        ("outcomes/*/*.safetensors", "hash stored beside them"),
        ("runs/*.json", "a run"),
    ],
)
def test_one_changed_byte_is_found(store: Store, pattern: str, message: str) -> None:
    path = one(store, pattern)
    data = bytearray(path.read_bytes())
    data[-9 if "outcomes" in pattern else -1 if pattern.endswith("safetensors") else 0] ^= 1
    path.write_bytes(data)
    health = check_store(store.home)
    assert len(health.damaged) == 1
    assert message in health.damaged[0]
    assert not health.is_clean


def test_missing_scores_and_records_are_damage(store: Store) -> None:
    one(store, "records/*/*.safetensors").unlink()
    assert "cannot be read" in check_store(store.home).damaged[0]
    for path in store.home.records.rglob("*.json"):
        path.unlink()
    (problem,) = check_store(store.home).damaged
    assert "names 2 records that are not there" in problem


def test_leftovers_are_listed_and_removed_and_nothing_else_is(store: Store) -> None:
    record = replace(put(store, [7.0], "b"))
    json = store._record_path(record.key.sha256)
    scores = store._scores_path(record)
    json.unlink()  # a process died between scores and record
    temporary = scores.with_name(f".{scores.name}.123.0a1b2c3d.tmp")
    claim = json.with_name(f".{json.name}.123.0a1b2c3d.new")
    superseded = one(store, "records/*/*.safetensors")
    other = superseded.with_name(superseded.name.replace(superseded.name.split(".")[1], "00000000"))
    for path in (temporary, claim, other):
        path.write_bytes(b"x")
    mine = store.home.root / "records" / "notes.txt"
    mine.write_text("mine")
    health = check_store(store.home)
    assert health.is_clean
    assert set(health.leftovers) == {scores, temporary, claim, other}
    assert find_leftovers(store.home, older_than=3600) == []
    for path in (temporary, other):
        os.utime(path, (0, 0))
    old = find_leftovers(store.home, older_than=3600)
    assert set(old) == {temporary, other}
    assert remove_leftovers(old) == 2
    assert mine.exists()
    assert check_store(store.home).records == 2


def test_scores_of_a_damaged_record_are_kept(store: Store) -> None:
    one(store, "records/*/*.json").write_text("{")
    assert find_leftovers(store.home) == []
