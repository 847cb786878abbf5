"""A run: what is in a key, what is not computed twice, and what is kept of what failed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npz_folder import write_folder
from support import problem

from ood_bench import api
from ood_bench.errors import IntegrityError
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.registry import load_plugin
from ood_bench.store.arrays import write_arrays
from ood_bench.store.records import ScoreRecord, sha256_of_scores
from ood_bench.store.store import Store
from ood_bench.suites import load_suite, write_suite

ROLES: dict[str, Any] = {"fit": "train", "val": "held", "test": "test", "near": ["near"], "far": ["far", "wide"]}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one suite, made once; tests copy it."""
    folder = tmp_path_factory.mktemp("imported")
    import_folder(Home(folder / "home"), write_folder(folder / "tensors"), model="net", suite="mine", **ROLES)
    return folder / "home"


@pytest.fixture
def place(imported: Path, tmp_path: Path) -> Home:
    shutil.copytree(imported, tmp_path / "home")
    return Home(tmp_path / "home")


def run(place: Home, *scorers: str, **options: Any) -> api.Results:
    return api.run("mine", scorers=list(scorers), tasks="ood", home=place.root, device="cpu", **options)


def records(place: Home) -> dict[tuple[str, str], ScoreRecord]:
    return {(record.spec, record.set): record for record in Store(place).records()}


def kept_files(place: Home) -> dict[str, tuple[int, bytes]]:
    """Everything but runs, with its time of writing."""
    return {
        str(path.relative_to(place.root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(place.root.rglob("*"))
        if path.is_file() and path.parent.name != "runs"
    }


def test_the_same_run_again_computes_nothing_and_gives_the_same_rows(place: Home) -> None:
    first = run(place, "msp", "vim", "react+energy", "knn")
    kept = kept_files(place)
    again = run(place, "msp", "vim", "react+energy", "knn")
    assert kept_files(place) == kept
    assert first.run.seconds is not None
    assert first.run.seconds["fit"]
    assert again.run.seconds == {"fit": [], "score": {}}
    assert again.rows == first.rows
    assert again.run.records == first.run.records
    assert len(first.run.records) == 4 * 4


def test_only_what_is_new_is_computed(place: Home) -> None:
    run(place, "msp", "vim")
    kept = kept_files(place)
    more = run(place, "vim", "residual")
    now = kept_files(place)
    assert {name: now[name] for name in kept} == kept
    asked = [done["used_by"] for done in more.run.seconds["fit"]]  # type: ignore[index]  # a run has seconds
    assert {name for names in asked for name in names} == {"residual:dim=12"}


def test_a_bank_that_changed_is_scored_anew_and_the_others_are_not(place: Home, tmp_path: Path) -> None:
    run(place, "msp", "vim")
    before = records(place)
    write_folder(tmp_path / "changed", far_seed=6)
    import_folder(place, tmp_path / "changed", model="net", suite="mine", replace=True, **ROLES)
    assert run(place, "msp", "vim").run.seconds["score"].keys() == {"wide"}  # type: ignore[index, union-attr]  # as above
    new = {record.key.sha256 for record in Store(place).records()} - {record.key.sha256 for record in before.values()}
    assert len(new) == 2


def test_recompute_compares_with_what_is_stored(place: Home) -> None:
    run(place, "msp", "vim")
    kept = kept_files(place)
    again = run(place, "msp", "vim", recompute=True)
    assert again.run.seconds is not None
    assert again.run.seconds["fit"]
    assert {name: data for name, (_, data) in kept_files(place).items()} == {k: data for k, (_, data) in kept.items()}
    _forge(place, records(place)["msp", "near"], add=1e-3)
    with pytest.raises(
        IntegrityError, match=r"msp on net, set near: two computations of one key should agree .*row \d+"
    ):
        run(place, "msp", recompute=True)


def _forge(place: Home, record: ScoreRecord, add: float) -> None:
    """Other scores under the same key, whole and with the right hash."""
    store = Store(place)
    scores = store.scores(record) + np.float32(add)
    digest = sha256_of_scores(scores)
    path = place.records / record.key.sha256[:2] / f"{record.key.sha256}.json"
    write_arrays(path.with_name(f"{record.key.sha256}.{digest[:8]}.safetensors"), {"scores": scores})
    path.write_text(path.read_text().replace(record.scores_sha256, digest))


def test_a_key_has_defaults_filled_and_resolved(place: Home) -> None:
    done = run(place, "knn", "vim", "logitgap", "react", "msp")
    found = {spec: record.key for (spec, name), record in records(place).items() if name == "test"}
    assert found["knn:k=50"].params["k"] == 50
    assert found["vim:dim=12"].params == {"dim": 12}
    assert found["react+energy"].params == {"react.q": 0.99, "react.threshold": None, "energy.temperature": 1.0}
    assert len(run(place, "knn:k=50", "vim:dim=12", "react+energy", "react:q=0.99+ebo").run.records) == 3 * 4
    assert set(run(place, "knn:k=50", "react+energy").run.records) <= set(done.run.records)
    assert found["msp"].fit_split is None
    assert (found["msp"].fit_sha256, found["msp"].head_sha256) == (None, None)
    assert found["vim:dim=12"].fit_sha256 is not None
    assert found["vim:dim=12"].head_sha256 is not None
    assert found["knn:k=50"].head_sha256 is None
    assert found["knn:k=50"].val_sha256 is None


def test_the_split_learnt_from_is_in_the_key(place: Home) -> None:
    run(place, "vim", "vim:fit=val")
    keys = [record.key for (_, name), record in records(place).items() if name == "test"]
    assert {key.fit_split for key in keys} == {"fit", "val"}
    by_split = {key.fit_split: key for key in keys}
    assert by_split["val"].fit_sha256 is None
    assert by_split["val"].val_sha256 is not None


def test_suites_that_share_sets_share_scores_and_a_hand_written_suite_is_like_any_other(place: Home) -> None:
    first = run(place, "msp", "vim")
    mine = load_suite("mine", place)
    sets = {name: spec for name, spec in mine.sets.items() if name != "wide"}
    write_suite(place, replace(mine, name="other", groups={"all": ("far", "near")}, sets=sets, fpr="ood_positive"))
    kept = kept_files(place)
    second = api.run("other", scorers=["msp", "vim"], tasks="ood", home=place.root, device="cpu")
    assert kept_files(place) == kept
    assert second.run.seconds == {"fit": [], "score": {}}
    assert set(second.run.records) < set(first.run.records)
    assert {row.group for row in second.rows} == {"all"}
    same = {(row.scorer, row.set): row.auroc for row in first.rows if row.set in ("near", "far")}
    assert {(row.scorer, row.set): row.auroc for row in second.rows if row.set != "mean"} == same


def test_the_program_memory_and_batches_are_provenance_and_not_in_the_key(place: Home) -> None:
    first = run(place, "msp", "knn", memory=1 << 20)
    second = run(place, "msp", "knn", memory=1 << 30, recompute=True)
    assert first.run.records == second.run.records
    record = next(iter(Store(place).records()))
    assert set(record.key.to_json()) <= {
        *("scorer", "version", "params", "bank_sha256", "fit_split"),
        *("seed", "precision", "fit_sha256", "val_sha256", "head_sha256"),
    }
    assert record.provenance[0]["device"].startswith("cpu")
    assert record.provenance[0]["program"]


PLUGIN = """
from dataclasses import dataclass
from ood_bench import scorer


@scorer("mine-own")
@dataclass(frozen=True)
class Mine:
    '''The largest logit.'''

    def score(self, batch):
        return batch.max_logit{tail}
"""


def test_a_plugins_content_is_in_version_key_and_row(place: Home, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLUGIN.format(tail=""))
    (entry,) = load_plugin(file)
    row = run(place, "mine-own").rows[0]
    assert entry.plugin_sha256 is not None
    assert (row.origin, row.scorer_version) == ("plugin", f"1.{entry.plugin_sha256[:12]}")
    record = records(place)["mine-own", "test"]
    assert (record.origin, record.plugin_sha256) == ("plugin", entry.plugin_sha256)
    assert record.key.version == row.scorer_version


def test_what_cannot_be_done_is_said_and_leaves_no_record(place: Home) -> None:
    done = run(place, "msp", "vim:dim=1000", "neglabel")
    assert [(one.scorer, one.reason) for one in done.failed] == [
        ("vim:dim=1000", "vim needs 0 < dim < 24 (the feature size), got dim=1000")
    ]
    assert [one.scorer for one in done.skipped] == ["neglabel"]
    assert "text" in done.skipped[0].reason
    assert {spec for spec, _ in records(place)} == {"msp"}
    status = {row.scorer: row.status for row in done.rows if row.set == "near"}
    assert status == {"msp": "ok", "vim": "failed", "neglabel": "skipped"}
    assert all(row.auroc is None and row.reason for row in done.rows if row.status != "ok")


def test_a_constant_scorer_is_an_error_of_that_scorer(place: Home, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(PLUGIN.format(tail=" * 0"))
    load_plugin(file)
    rows = {row.scorer: row for row in run(place, "mine-own", "msp").rows if row.set == "near"}
    assert rows["mine-own"].status == "failed"
    assert "the same for every" in str(rows["mine-own"].reason) or "for every ID and OOD" in str(
        rows["mine-own"].reason
    )
    assert rows["msp"].status == "ok"


def test_a_run_is_kept_as_it_was_asked_for(place: Home) -> None:
    done = run(place, "msp", "vim:dim=1000")
    kept = Store(place).run(done.run.id)
    assert kept == done.run
    document = json.loads((place.runs / f"{done.run.id}.json").read_text())
    assert document["suite"] == "mine"
    assert document["request"]["scorers"] == ["msp", "vim:dim=1000"]
    assert set(document["banks"]) == {"train", "held", "test", "near", "far", "wide"}
    questions = run(place, "vim", "residual").run.seconds["fit"]  # type: ignore[index]  # a run has seconds
    shared = [one for one in questions if one["question"] == "Moments(features)"]
    assert shared[0]["used_by"] == ["vim:dim=12", "residual:dim=12"]


def test_scores_are_those_of_the_tensors(place: Home) -> None:
    run(place, "msp")
    record = records(place)["msp", "test"]
    logits = problem().logits("test").astype(np.float32).astype(np.float64)
    top = np.sort(logits, axis=1)
    expected = -np.log1p(np.exp(top[:, :-1] - top[:, -1:]).sum(axis=1))
    np.testing.assert_allclose(Store(place).scores(record), expected, rtol=1e-5, atol=1e-7)
