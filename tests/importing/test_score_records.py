"""Imported scores stand in the same table as ours, marked; the real case is OpenOOD's own output of SCALE."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ood_bench.bank.manifest import Identity
from ood_bench.bank.writer import BankWriter
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.score_records import Request, import_scores
from ood_bench.store.row import MEAN
from ood_bench.store.rows import rows_of
from ood_bench.store.seeds import aggregate_seeds
from ood_bench.store.store import Store
from ood_bench.suites import load_suite

ID, OOD = np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.5, 2.5])


def request(**fields: object) -> Request:
    return Request(**{"suite": "mine", "model": "net", "scorer": "mds-ens", **fields})  # type: ignore[arg-type]


def saved(tmp_path: Path, name: str = "s.npz", **arrays: np.ndarray) -> Path:
    path = tmp_path / name
    np.savez(path, **(arrays or {"test": ID, "svhn": OOD}))
    return path


def test_openoods_scale_scores_give_the_numbers_it_printed(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "openood-scale-scores"
    home = Home(tmp_path / "home")
    for seed in range(3):
        path = folder / f"cifar10_s{seed}.npz"
        done = import_scores(home, path, request(suite="scale", scorer="scale", model="resnet18", model_seed=seed))
    assert (done.suite_is_new, done.sets["test"], done.sets["mnist"]) == (False, 9000, 70000)
    suite = load_suite("scale", home)
    assert suite.groups == {"near": ("cifar100", "tin"), "far": ("mnist", "svhn", "texture", "places365")}
    rows = aggregate_seeds(rows_of(Store(home), suite), ddof=0)  # the spread of these, as OpenOOD prints it
    with next(folder.glob("*scale.csv")).open(encoding="utf-8") as file:
        printed = {line[""]: line for line in csv.DictReader(file)}
    assert len(rows) == len(printed) == 8
    for row in rows:
        theirs = printed[f"{row.group}ood" if row.set == MEAN else row.set]
        mean, spread = theirs["AUROC"].split(" ± ")
        assert f"{100 * (row.auroc or 0):.2f}" == mean
        if row.set != MEAN:  # theirs is the mean over sets of the deviations
            assert f"{100 * (row.auroc_std or 0):.2f}" == spread
        assert f"{100 * (row.fpr95_ood_positive or 0):.2f}" == theirs["FPR@95"].split(" ± ")[0]
        assert f"{100 * (row.id_accuracy or 0):.2f}" == theirs["ACC"].split(" ± ")[0]
        assert (row.origin, row.n_seeds) == ("imported", 3)
        assert "scores imported from cifar10_s0.npz" in (row.reason or "")


def test_the_other_sign_is_turned(tmp_path: Path) -> None:
    path = saved(tmp_path)
    values = {}
    for negate in (False, True):
        home = Home(tmp_path / str(negate))
        done = import_scores(home, path, request(negate=negate))
        values[negate] = rows_of(Store(home), done.suite)[0].auroc
    assert values == {False: 0.75, True: 0.25}


def test_the_same_file_again_is_the_same_and_a_newer_one_replaces_it_in_the_table(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    import_scores(home, saved(tmp_path), request())
    done = import_scores(home, saved(tmp_path), request())
    assert len(list(Store(home).records())) == 2
    newer = saved(tmp_path, "newer.npz", test=ID, svhn=np.array([0.5, 0.6]))
    records = list(Store(home).records())
    store = Store(home)
    # as if it had been done a day before
    for path in home.records.rglob("*.json"):
        path.write_text(path.read_text().replace(records[0].time, "2020-01-01T00:00:00+00:00"))
    import_scores(home, newer, request())
    assert [row.auroc for row in rows_of(store, done.suite)] == [1.0, 1.0]
    assert len(list(store.records())) == 4


def with_bank(home: Home, name: str, n: int, labels: list[int] | None) -> None:
    kind = "ood" if labels is None else "id"
    identity = Identity("net", None, name, "", "source", "mine")
    writer = BankWriter(home, identity, kind_of_labels=kind, head=None, n_expected=n)
    tensors = {"logits": torch.arange(3.0 * n).reshape(n, 3)}
    if labels is not None:
        tensors["labels"] = torch.tensor(labels)
    writer.add([f"{name}-{row}" for row in range(n)], tensors)
    writer.finish()


def test_rows_are_those_of_the_bank_that_is_there(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    import_scores(Home(tmp_path / "other"), saved(tmp_path), request())
    (home.suites).mkdir(parents=True)
    (home.suites / "mine.toml").write_bytes((tmp_path / "other" / "suites" / "mine.toml").read_bytes())
    with_bank(home, "test", 4, [0, 1, 2, 0])
    shuffled = np.array([2, 0, 3, 1])
    ids = np.array([f"test-{row}" for row in shuffled])
    labels = np.array([0, 1, 2, 0])
    done = import_scores(home, saved(tmp_path, test=ID[shuffled], test__ids=ids, svhn=OOD), request())
    store = Store(home)
    (record,) = [one for one in store.records() if one.set == "test"]
    np.testing.assert_array_equal(store.scores(record), ID)
    assert record.key.bank_sha256 == done.run.banks["test"]
    bad = np.array(["test-0", "x", "test-2", "test-3"])
    with pytest.raises(RequestError, match=r"the ids of test should be those of its bank, .* 'test-1' is missing"):
        import_scores(home, saved(tmp_path, test=ID, test__ids=bad, svhn=OOD), request())
    with pytest.raises(RequestError, match="label of row 0 is 1 where the bank has 0; give ids"):
        import_scores(home, saved(tmp_path, test=ID, test__label=labels[::-1] + 1, svhn=OOD), request())


def test_an_imported_scorer_does_not_stand_in_for_ours_of_the_same_name(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    import_scores(home, saved(tmp_path), request(scorer="msp"))
    store = Store(home)
    for record in list(store.records()):
        ours = replace(record, origin="ours", key=replace(record.key, version="1"), marks=())
        store.put(ours, store.scores(record))
    rows = rows_of(store, load_suite("mine", home))
    assert sorted(str(row.origin) for row in rows) == ["imported", "imported", "ours", "ours"]


def test_predictions_and_labels_give_the_accuracy(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    arrays = {"test": ID, "test__pred": np.array([0, 1, 2, 2]), "test__label": np.array([0, 1, 2, 0]), "svhn": OOD}
    done = import_scores(home, saved(tmp_path, **arrays), request())
    assert rows_of(Store(home), done.suite)[0].id_accuracy == 0.75
    other = {**arrays, "test__pred": np.array([2, 2, 2, 2])}
    done = import_scores(home, saved(tmp_path, "o.npz", **other), request(scorer="other"))
    assert "the predictions were not kept" in done.notes[0]


@pytest.mark.parametrize(
    ("arrays", "fields", "message"),
    [
        ({"svhn": OOD}, {}, "no suite is named 'mine', and to make it .* should hold scores of 'test'"),
        ({"test": ID, "svhn": OOD}, {"scorer": "My Scorer"}, "scorer's name is made of a-z, .* got 'My Scorer'"),
        ({"test": ID, "svhn": OOD}, {"rename": {"x": "y"}}, "no set of .* is named 'x'"),
        ({"test": ID, "svhn": OOD}, {"suite": "digits"}, "no set of suite digits .* is named 'svhn'"),
        ({"test": ID}, {"suite": "digits"}, "digits-test should have 843 rows in suite digits, got 4"),
    ],
)
def test_nothing_is_written_where_something_is_wrong(
    tmp_path: Path, arrays: dict[str, np.ndarray], fields: dict[str, object], message: str
) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(RequestError, match=message):
        import_scores(home, saved(tmp_path, **arrays), request(**fields))
    assert not home.root.exists()


def test_sets_may_be_renamed_and_csid_is_left_aside(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    path = saved(tmp_path, mnist__conf=ID, csid__shifted__conf=OOD, far__svhn__conf=OOD)
    done = import_scores(home, path, request(rename={"mnist": "test"}))
    assert (dict(done.sets), done.aside) == ({"test": 4, "svhn": 2}, ("shifted",))
