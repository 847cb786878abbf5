"""The Python interface: tensors to a table in a few lines, displayed by itself, quiet in a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from npz_folder import write_folder
from support import problem

import ood_bench
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.store.row import COLUMNS

GIVEN = problem()


def tensors(name: str, *parts: str) -> dict[str, np.ndarray]:
    there = dict(zip(("features", "logits", "labels"), GIVEN.sets[name], strict=True))
    return {part: there[part] for part in parts or there}


def data(**others: Any) -> dict[str, Any]:
    return {
        "fit": tensors("fit"),
        "test": tensors("test"),
        "head": (GIVEN.weight, GIVEN.bias),
        "svhn": tensors("ood", "features", "logits"),
        **others,
    }


def test_a_dict_of_tensors_becomes_a_table() -> None:
    results = ood_bench.evaluate(data(), ["vim", "energy"])
    frame = results.frame
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(COLUMNS)
    assert set(zip(frame["scorer"], frame["set"], strict=True)) == {
        (scorer, name) for scorer in ("vim", "energy") for name in ("svhn", "mean")
    }
    assert frame["auroc"].between(0, 1).all()
    accuracy = (GIVEN.logits("test").argmax(axis=1) == GIVEN.labels("test")).mean()
    assert frame["id_accuracy"].to_numpy() == pytest.approx(accuracy)


def test_numpy_and_torch_lists_and_float32_are_taken() -> None:
    first = ood_bench.evaluate(data(), "msp").frame["auroc"][0]
    as_torch = {
        key: {name: torch.as_tensor(array) for name, array in value.items()} if isinstance(value, dict) else value
        for key, value in data().items()
    }
    assert ood_bench.evaluate(as_torch, ["msp"]).frame["auroc"][0] == first
    small = {"test": {"logits": [[2.0, 0.0], [0.0, 3.0]]}, "ood": {"logits": [[0.1, 0.0]]}}
    assert ood_bench.evaluate(small, "msp").frame["auroc"][0] == 1.0


def test_groups_of_sets_have_a_mean_of_their_own() -> None:
    outliers = tensors("ood", "features", "logits")
    results = ood_bench.evaluate(data(far={"a": outliers, "b": tensors("test", "features", "logits")}), "msp")
    cells = {(row.group, row.set): row.auroc for row in results.rows}
    assert cells["far", "b"] == 0.5
    assert cells["far", "mean"] == pytest.approx((cells["far", "a"] + 0.5) / 2)  # type: ignore[operator]  # a number
    assert cells["ood", "svhn"] == cells["far", "a"]


def test_what_is_missing_is_a_reason_not_an_error() -> None:
    results = ood_bench.evaluate({"test": tensors("test", "logits"), "svhn": tensors("ood", "logits")})
    assert {"msp", "energy", "mano"} - {row.scorer for row in results.rows if row.status == "ok"} in (set(), {"mano"})
    reasons = {one.scorer: one.reason for one in results.skipped}
    assert "--fit" in reasons["vim"]
    assert "features" in reasons["knn"]
    assert not results.failed


def test_nothing_given_is_modified() -> None:
    given = data(val=tensors("val"))
    kept = {key: {name: array.copy() for name, array in v.items()} for key, v in given.items() if isinstance(v, dict)}
    weight, bias = GIVEN.weight.copy(), GIVEN.bias.copy()
    ood_bench.evaluate(given)
    for key, arrays in kept.items():
        for name, array in arrays.items():
            assert np.array_equal(array, given[key][name]), (key, name)
    assert np.array_equal(weight, GIVEN.weight)
    assert np.array_equal(bias, GIVEN.bias)


def test_results_display_themselves() -> None:
    results = ood_bench.evaluate(data(), ["vim", "msp"])
    assert "FPR95 ID+" in repr(results)
    html = results._repr_html_()
    assert html.lstrip().startswith("<")
    assert html.count("<table") == html.count("</table>") >= 1
    assert "vim" in html
    assert results.table("latex").count("\\begin{tabular}") == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"svhn": [1, 2]}, "svhn should be a set .* got list"),
        (
            {"svhn": {"features": np.full((3, 24), np.nan)}},
            r"svhn: `features` should be finite, but holds NaN at row 0",
        ),
        ({"svhn": {"logits": np.zeros((3, 5))}}, "the logits have K = 5 columns and the head has K = 7 classes"),
        (
            {"test": {"logits": np.zeros((2, 7)), "labels": np.array([0, 7])}},
            r"labels of an ID set should be in 0\.\.6",
        ),
        ({"svhn": {"logits": np.zeros((0, 7))}}, "a set needs at least one row, got none"),
        (
            {"svhn": {"feature": np.zeros((3, 24))}},
            r"no tensor of a bank .* is named 'feature' \(did you mean 'features'",
        ),
        ({"head": (GIVEN.weight[:, :5], GIVEN.bias)}, "d = 24 columns and the head expects d = 5"),
    ],
)
def test_bad_input_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence) as refusal:
        ood_bench.evaluate(data(**change), "msp")
    assert "\n" not in str(refusal.value)


def test_data_without_a_test_set() -> None:
    with pytest.raises(RequestError, match="test"):
        ood_bench.evaluate({"svhn": tensors("ood")}, "msp")


def test_scorers_are_values() -> None:
    spec = ood_bench.get("knn", k=7)
    assert spec.params["k"] == 7
    assert ood_bench.get("react+vim").name == "react+vim"
    assert {"vim", "knn", "msp"} <= set(ood_bench.names())
    results = ood_bench.evaluate(data(), [spec, "knn:k=7", ood_bench.get("msp")])
    assert {row.scorer for row in results.rows} == {"knn", "msp"}
    assert len(results.rows) == 4
    with pytest.raises(RequestError, match="no scorer is named 'vmi'"):
        ood_bench.evaluate(data(), "vmi")
    with pytest.raises(RequestError, match="a run needs at least one scorer, got none"):
        ood_bench.evaluate(data(), [])


def test_a_whole_number_is_the_same_as_its_float() -> None:
    assert str(ood_bench.get("energy", temperature=2)) == str(ood_bench.get("energy", temperature=2.0))
    assert repr(ood_bench.get("energy", temperature=1).params) == repr(ood_bench.get("energy").params)


def test_banks_are_loaded_by_name(tmp_path: Path) -> None:
    import_folder(
        Home(tmp_path / "home"), write_folder(tmp_path / "x"), model="net", suite="mine", test="test", far=["far"]
    )
    bank = ood_bench.load_bank("net", "far", home=tmp_path / "home")
    assert (bank.n, bank.n_features, bank.n_classes) == (60, 24, 7)
    with pytest.raises(RequestError, match=r"no bank of net on near in .*; ood-bench list banks shows"):
        ood_bench.load_bank("net", "near", home=tmp_path / "home")


def test_public_names_are_there_and_unknown_ones_are_not() -> None:
    for name in ood_bench.__all__:
        assert getattr(ood_bench, name) is not None
    assert ood_bench.__version__ == __import__("importlib.metadata").metadata.version("ood-bench")
    assert set(ood_bench.__all__) <= set(dir(ood_bench))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ood_bench.nothing


# What a notebook cell or a script does, in a pipe: the table and nothing else, on either stream.
SCRIPT = """
import sys
import numpy as np
import ood_bench
assert "torch" not in sys.modules
results = ood_bench.run("mine", scorers=["msp", "vim"], home=sys.argv[1])
assert results.frame.shape[0] == len(results.rows)
results
"""


def test_a_script_in_a_pipe_is_quiet(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x")
    import_folder(Home(tmp_path / "home"), folder, model="net", suite="mine", fit="train", test="test", far=["far"])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "home")], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
