"""Scores in, scores out: equal ones are one record, unequal ones an error, damaged ones are named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_cases import PROVENANCE, bank, put, record

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.store.records import Run, ScoreKey, ScoreRecord, Skipped, new_run_id, sha256_of_scores
from ood_bench.store.store import Store

SCORES = np.array([0.25, -3.0, 100.0, 0.5], dtype=np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home(tmp_path / "home"))


def files(store: Store) -> list[Path]:
    return sorted(path for path in store.home.root.rglob("*") if path.is_file())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_come_back_bit_for_bit_in_their_precision(store: Store, dtype: type[np.floating[Any]]) -> None:
    scores = np.array([1 / 3, -2 / 3, 1e-30], dtype=dtype)
    made = record(scores, marks=("constant on this set",), learned={"alpha": 1.5}, fit_seconds=0.25, seed=3)
    assert store.put(made, scores) == "new"
    (kept,) = store.records()
    assert kept == made == store.get(made.key.sha256)
    assert store.scores(kept).dtype == dtype
    np.testing.assert_array_equal(store.scores(kept), scores)


def test_a_record_is_readable_json_named_after_its_key(store: Store) -> None:
    made = record(SCORES)
    store.put(made, SCORES)
    key = made.key.sha256
    path = store.home.records / key[:2] / f"{key}.json"
    text = path.read_text()
    data = json.loads(text)
    assert data["schema"] == 1
    assert text == json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert [p.name for p in files(store)] == [f"{key}.{made.scores_sha256[:8]}.safetensors", path.name]


def test_a_key_changes_with_each_of_its_fields_and_with_nothing_else() -> None:
    base = ScoreKey(scorer="knn", version="1", params={"k": 50}, bank_sha256=bank("test"))
    changes: list[dict[str, Any]] = [
        {"scorer": "vim"},
        {"version": "2"},
        {"params": {"k": 51}},
        {"bank_sha256": bank("other")},
        {"fit_split": "fit"},
        {"seed": 0},
        {"precision": "bf16"},
        {"fit_sha256": bank("fit")},
        {"val_sha256": bank("fit")},
        {"head_sha256": bank("fit")},
    ]
    hashes = {replace(base, **change).sha256 for change in changes}
    assert len(hashes | {base.sha256}) == len(ScoreKey.__dataclass_fields__) + 1
    assert replace(base, params={"k": 50}).sha256 == base.sha256
    # written down so that no edit moves the keys of stores that exist: sha256 of the canonical JSON, by hand
    text = f'{{"bank_sha256":"{bank("test")}","params":{{"k":50}},"schema":1,"scorer":"knn","version":"1"}}'
    assert base.sha256 == bank(text)


def test_the_same_scores_again_change_nothing(store: Store) -> None:
    store.put(record(SCORES), SCORES)
    before = {path: path.read_bytes() for path in files(store)}
    later = record(SCORES, provenance=({**PROVENANCE, "time": "2027-01-01T00:00:00Z"},))
    assert store.put(later, SCORES) == "same"
    assert {path: path.read_bytes() for path in files(store)} == before


def test_another_machine_adds_its_provenance_once(store: Store) -> None:
    made = record(SCORES)
    store.put(made, SCORES)
    near = SCORES * np.float32(1 + 5e-6)
    elsewhere = record(near, provenance=({**PROVENANCE, "device": "cuda"},))
    assert store.put(elsewhere, near) == store.put(elsewhere, near) == "same"
    kept = store.get(made.key.sha256)
    assert kept is not None
    assert [entry["device"] for entry in kept.provenance] == ["cpu", "cuda"]
    np.testing.assert_array_equal(store.scores(kept), SCORES)


def test_scores_of_near_zero_are_compared_on_the_scale_of_the_set(store: Store) -> None:
    large = np.array([0.0, 1000.0, -1000.0], dtype=np.float32)
    store.put(record(large), large)
    assert store.put(record(large + np.float32(1e-3)), large + np.float32(1e-3)) == "same"
    with pytest.raises(IntegrityError, match="row 0"):
        store.put(record(large + np.float32(0.1)), large + np.float32(0.1))


def test_other_scores_under_the_key_are_an_error_naming_both(store: Store) -> None:
    store.put(record(SCORES), SCORES)
    before = {path: path.read_bytes() for path in files(store)}
    other = SCORES + np.array([0, 0, 0, 0.01], dtype=np.float32)
    newer = record(other, provenance=({**PROVENANCE, "time": "2027-02-03T00:00:00Z", "versions": {"torch": "9.9"}},))
    with pytest.raises(IntegrityError, match=r"row 3 is 0.50999999 where 0.5 is stored") as caught:
        store.put(newer, other)
    for part in (sha256_of_scores(SCORES), sha256_of_scores(other), "2026-01-02", "2027-02-03", "torch 2.4", "9.9"):
        assert part in str(caught.value)
    assert {path: path.read_bytes() for path in files(store)} == before


def test_another_number_of_rows_under_the_key_is_an_error(store: Store) -> None:
    store.put(record(SCORES), SCORES)
    with pytest.raises(IntegrityError, match="there are 3 rows where 4 are stored"):
        store.put(record(SCORES[:3]), SCORES[:3])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused_and_nothing_is_written(store: Store, bad: float) -> None:
    scores = np.array([1.0, bad, bad], dtype=np.float32)
    with pytest.raises(
        IntegrityError, match=r"finite, got .* in row 1 and 2 such rows in all, from msp on net, set test"
    ):
        store.put(record(scores), scores)
    assert files(store) == []


def test_a_record_that_does_not_describe_its_scores_is_refused(store: Store) -> None:
    for wrong in ({"n": 5}, {"score_dtype": "float64"}, {"scores_sha256": "0" * 64}):
        with pytest.raises(IntegrityError, match="should describe its scores"):
            store.put(replace(record(SCORES), **wrong), SCORES)
    with pytest.raises(IntegrityError, match="at least one score"):
        store.put(record(SCORES[:0]), SCORES[:0])
    assert files(store) == []


def test_scores_left_by_a_process_that_died_before_its_record_are_harmless(store: Store) -> None:
    made = record(SCORES)
    store.put(made, SCORES)
    (path,) = store.home.records.rglob("*.json")
    path.unlink()
    assert list(store.records()) == []
    assert store.get(made.key.sha256) is None
    other = SCORES + 1
    assert store.put(record(other), other) == "new"
    (kept,) = store.records()
    np.testing.assert_array_equal(store.scores(kept), other)


def test_one_changed_byte_in_the_scores_is_named(store: Store) -> None:
    made = put(store, SCORES)
    (path,) = store.home.records.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"scores of msp on net, set test should have the sha256 .*{path.name}"):
        store.scores(made)
    path.write_bytes(data[:-3])
    with pytest.raises(IntegrityError, match=rf"{path.name}, but it is damaged"):
        store.scores(made)
    path.unlink()
    with pytest.raises(IntegrityError, match=rf"{path.name}, but it cannot be read"):
        store.scores(made)


def edited(text: str, **changes: object) -> str:
    return json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: "[]", "got list"),
        (lambda text: edited(text, n="4"), "record.n should be int, got '4'"),
        (lambda text: edited(text, surprise=1), "unknown field 'surprise'"),
        (lambda text: text.replace('"model":', '"modle":'), "unknown field 'modle'"),
        (lambda text: edited(text, key={"scorer": "msp"}), "field 'version' is missing"),
        (lambda text: text.replace('"version": "1"', '"version": "2"'), "should hold the key of its name"),
        (lambda text: edited(text, schema=None), "schema as a whole number, got None"),
    ],
)
def test_a_damaged_record_is_named(store: Store, damage: Any, message: str) -> None:
    put(store, SCORES)
    (path,) = store.home.records.rglob("*.json")
    path.write_text(damage(path.read_text()))
    with pytest.raises(IntegrityError, match=message) as caught:
        list(store.records())
    assert str(path) in str(caught.value)


def test_a_newer_schema_is_told_apart_from_damage(store: Store) -> None:
    put(store, SCORES)
    (path,) = store.home.records.rglob("*.json")
    path.write_text(edited(path.read_text(), schema=2, whatever=1))
    with pytest.raises(RequestError, match="has schema 2, but this ood-bench reads up to 1; install a newer"):
        list(store.records())


def test_the_kept_sample_of_schema_1_is_read() -> None:
    """Written once and never rewritten: stores made today must be read by every later version."""
    (kept,) = Store(Home(Path(__file__).parent / "samples" / "schema-1")).records()
    assert kept == ScoreRecord(
        key=ScoreKey(
            scorer="ash-s+energy",
            version="1+2",
            params={"ash-s.p": 0.65, "energy.temperature": 1},
            bank_sha256="b" * 64,
            fit_split="fit",
            seed=7,
            precision="float32",
            fit_sha256="f" * 64,
            val_sha256="a" * 64,
            head_sha256="e" * 64,
        ),
        spec="ash-s:p=0.65+energy",
        model="bit-s",
        model_seed=1,
        set="ninco",
        n=3,
        scores_sha256="ed21e3285b6d7a8d2f34ae3a076ccb7583f2a8c5d2b6d619cbaba5cfce970f0c",
        score_dtype="float32",
        provenance=(PROVENANCE,),
        list_sha256="c" * 64,
        origin="plugin",
        plugin_sha256="d" * 64,
        marks=("features are not non-negative",),
        learned={"threshold": 0.5},
        fit_seconds=1.5,
        score_seconds=0.25,
        profile="openood-v1.5",
        tuned_on="val",
    )
    store = Store(Home(Path(__file__).parent / "samples" / "schema-1"))
    np.testing.assert_array_equal(store.scores(kept), np.array([0.5, -1.25, 3.0], dtype=np.float32))
    (run,) = store.runs()
    assert run.skipped == (Skipped("react+vim", "bit-s", "imagenet-vim", "no bank of the ID training set"),)
    assert run.records == (kept.key.sha256,)


def test_outcomes_are_kept_once(store: Store) -> None:
    predicted, labels = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    assert store.outcomes(bank("test")) is None
    assert store.put_outcomes(bank("test"), predicted, labels) == "new"
    assert store.put_outcomes(bank("test"), predicted, labels) == "same"
    kept = store.outcomes(bank("test"))
    assert kept is not None
    np.testing.assert_array_equal(kept[0], predicted)
    np.testing.assert_array_equal(kept[1], labels)
    assert store.put_outcomes(bank("test"), np.array([0, 1, 2, 2]), labels) == "same"  # a tie broken the other way
    with pytest.raises(IntegrityError, match="2 of 4 differ"):
        store.put_outcomes(bank("test"), np.array([1, 0, 1, 2]), labels)
    with pytest.raises(IntegrityError, match=r"labels of bank .* differ"):
        store.put_outcomes(bank("test"), predicted, predicted)


def test_changed_outcomes_are_named(store: Store) -> None:
    store.put_outcomes(bank("test"), np.array([0, 1]), np.array([0, 1]))
    (path,) = (store.home.root / "outcomes").rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=f"hash stored beside them in {path}"):
        store.outcomes(bank("test"))


def run_at(hour: int) -> Run:
    time = datetime(2026, 1, 2, hour, tzinfo=UTC)
    return Run(
        id=new_run_id(time),
        time=time.isoformat(),
        suite="toy",
        model="net",
        model_seed=None,
        banks={"test": bank("test")},
        head_sha256=None,
        request={"scorer": ["all"]},
        records=("a" * 64,),
        skipped=(Skipped("react", "net", "toy", "no head"),),
        failed=(Skipped("vim", "net", "toy", "the score is NaN", set="a"),),
        seconds={"logits": {"seconds": 1.5, "used_by": ["msp"]}},
    )


def test_runs_come_back_the_oldest_first(store: Store) -> None:
    later, earlier = run_at(12), run_at(3)
    store.put_run(later)
    store.put_run(earlier)
    assert list(store.runs()) == [earlier, later]
    assert store.run(later.id) == later
    with pytest.raises(RequestError, match="no run is named"):
        store.run("../../etc/passwd")


def test_a_damaged_run_is_named(store: Store) -> None:
    run = run_at(1)
    store.put_run(run)
    path = store.home.runs / f"{run.id}.json"
    path.write_text(path.read_text().replace('"skipped"', '"skippd"'))
    with pytest.raises(IntegrityError, match=rf"a run of schema 1 was expected at {path}, but the field 'skipped'"):
        list(store.runs())


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the home should be")
    with pytest.raises(RequestError, match=r"cannot write .*; choose a writable place with --home"):
        put(Store(Home(tmp_path / "home")), SCORES)


def test_an_empty_record_that_a_power_cut_left_is_written_anew(tmp_path: Path) -> None:
    store = Store(Home(tmp_path))
    record = put(store, SCORES)
    path = next(tmp_path.glob("records/*/*.json"))
    path.write_bytes(b"")
    assert store.get(record.key.sha256) is None
    assert list(store.records()) == []
    put(store, SCORES)
    assert np.array_equal(store.scores(next(iter(store.records()))), SCORES)
