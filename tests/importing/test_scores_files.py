"""Scores out of files: OpenOOD's pickles, arrays by name, CSV and Parquet; nothing in a file runs."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ood_bench.errors import RequestError
from ood_bench.importing.scores import read_scores

ID, OOD = np.array([3.0, 2.0, 1.0], dtype=np.float32), np.array([0.5, 0.25], dtype=np.float32)


def openood(tmp_path: Path) -> Path:
    """The nested table that OpenOOD pickles: triples of prediction, score, label."""
    classes, none = np.array([0, 1, 1]), np.array([-1, -1])
    table = {
        "id": {"train": None, "val": None, "test": [classes + 1, ID, classes]},
        "csid": {"cifar10c": [none, OOD, none]},
        "ood": {"val": [none, OOD, none], "near": {"cifar100": [none, OOD, none]}, "far": {"svhn": [none, OOD, none]}},
        "id_preds": classes,
        "id_labels": classes,
        "csid_preds": None,
    }
    path = tmp_path / "vim.pkl"
    path.write_bytes(pickle.dumps(table))
    return path


def test_openoods_pickle(tmp_path: Path) -> None:
    sets = read_scores(openood(tmp_path))
    assert {name: one.group for name, one in sets.items()} == {
        "test": None,
        "cifar10c": "csid",
        "ood.val": None,
        "cifar100": "near",
        "svhn": "far",
    }
    np.testing.assert_array_equal(sets["test"].scores, ID)
    assert sets["test"].scores.dtype == np.float32
    # the classifier's own predictions, not those of the method
    assert sets["test"].predicted is not None
    assert sets["test"].predicted.tolist() == [0, 1, 1]


def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("boo",)

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"id": {"test": Evil()}}))
    with pytest.raises(RequestError, match=r"would need 'builtins.print' to be built"):
        read_scores(path)


def test_arrays_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    ids = np.array(["x", "y", "z"])
    np.savez(path, test__scores=ID, test__ids=ids, svhn=OOD, far__mnist__conf=OOD, table=np.zeros((2, 2)))
    sets = read_scores(path)
    assert set(sets) == {"test", "svhn", "mnist"}
    assert (sets["test"].ids, sets["mnist"].group) == (("x", "y", "z"), "far")
    integers = tmp_path / "int.npz"
    np.savez(integers, test=np.array([3, 2]))
    assert read_scores(integers)["test"].scores.dtype == np.float64


def test_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("set,group,id,score,label,predicted\ntest,,a,3,0,0\ntest,,b,2.5,1,0\nsvhn,far,c,0.5,-1,2\n")
    sets = read_scores(path)
    assert sets["test"].scores.tolist() == [3.0, 2.5]
    assert sets["test"].labels is not None
    assert sets["test"].labels.tolist() == [0, 1]
    assert (sets["test"].ids, sets["svhn"].group) == (("a", "b"), "far")


def test_a_parquet_table_says_the_same(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="reading Parquet needs the extra `query`")
    path = tmp_path / "mine.parquet"
    text = "SELECT * FROM (VALUES ('test', 3.0::FLOAT, 1), ('test', 2.0, 0), ('svhn', 1.0, -1)) AS t(set, score, label)"
    duckdb.sql(f"COPY ({text}) TO '{path}' (FORMAT parquet)")
    sets = read_scores(path)
    assert sets["test"].scores.tolist() == [3.0, 2.0]
    assert sets["test"].scores.dtype == np.float32
    assert sets["test"].labels is not None
    assert sets["test"].labels.tolist() == [1, 0]
    duckdb.sql(f"COPY (SELECT 'test' AS set, NULL::DOUBLE AS score) TO '{path}' (FORMAT parquet)")
    with pytest.raises(RequestError, match=r"column score of .* has an empty cell"):
        read_scores(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(RequestError, match="should be a Parquet table"):
        read_scores(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("set,score\ntest,high\n", "scores of test in .* should be numbers"),
        ("set,score\ntest,nan\n", "scores of test in .* should be finite numbers, got nan in row 0"),
        ("set,score\ntest\n", "line 2 of .* should have 2 cells, got 1"),
        ("name,score\ntest,1\n", "should have the columns set and score, got name, score"),
        ("set,score,group\nsvhn,1,far\nsvhn,2,near\n", "the set 'svhn' in several groups: far, near"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(RequestError, match=message):
        read_scores(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"should end in one of .*\.pkl.*\.parquet"):
        read_scores(tmp_path / "scores.xlsx")
    np.savez(tmp_path / "t.npz", table=np.zeros((2, 2)))
    with pytest.raises(RequestError, match="should hold arrays such as test__conf"):
        read_scores(tmp_path / "t.npz")
    np.savez(tmp_path / "t.npz", test__conf=ID, test__pred=np.zeros(2, int))
    with pytest.raises(RequestError, match="as many predictions as scores of test, got 2 and 3"):
        read_scores(tmp_path / "t.npz")
    np.savez(tmp_path / "t.npz", near__a=OOD, far__a=OOD)
    with pytest.raises(RequestError, match="two arrays of scores for the set 'a'"):
        read_scores(tmp_path / "t.npz")
