"""Import: bad input and bad requests write nothing, and say what is wrong with which file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folder_cases import (
    Arrays,
    D,
    K,
    all_sets,
    head_arrays,
    model_says,
    run,
    save_npz,
)

from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder


def bad(**changes: Any) -> Callable[[dict[str, Arrays]], None]:
    """A change of the last set: what comes before it is good."""
    return lambda sets: sets["far_two"].update(changes)


def with_value(name: str, value: float) -> Callable[[dict[str, Arrays]], None]:
    def change(sets: dict[str, Arrays]) -> None:
        sets["far_two"][name][3, 1] = value

    return change


def no_labels_in(sets: dict[str, Arrays]) -> None:
    sets["test"]["labels"][5] = K


def partly_labelled(sets: dict[str, Arrays]) -> None:
    sets["test"]["labels"][5] = -1


def rename_logits(sets: dict[str, Arrays]) -> None:
    sets["far_two"] = {"logit": sets["far_two"]["logits"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            with_value("features", np.nan),
            r"set 'far_two' \(far_two.npz\): `features` .* NaN at row 3 \(id 'far_two/3'\)",
        ),
        (
            with_value("logits", np.inf),
            r"set 'far_two' .*: `logits` should be finite, but holds an infinite value at row 3",
        ),
        (
            bad(logits=np.zeros((7, K + 1), np.float32)),
            r"'far_two' .* logits have K = 5 columns and the head has K = 4",
        ),
        (
            bad(features=np.zeros((7, D + 1), np.float32)),
            r"'far_two' .* features have d = 7 columns and the head expects",
        ),
        (
            bad(features=np.zeros((6, D), np.float32)),
            r"'far_two' .* one entry per row, got features 6, logits 7, labels 7",
        ),
        (bad(features=np.zeros(7, np.float32)), r"'far_two' .* `features` should have shape \(n, d\), got \(7,\)"),
        (bad(logits=np.zeros((7, K), np.int64)), r"'far_two' .* `logits` should be floating point, got int64"),
        (bad(labels=np.zeros(7, np.float32)), r"'far_two' .*: `labels` should be integers, got float32"),
        (
            bad(**{k: v[:0] for k, v in model_says(1, 0).items()}),
            r"'far_two' .* should have at least one row, but it is e",
        ),
        (bad(ids=np.arange(6)), r"'far_two' .* ids should be 7 texts or whole numbers, got int64 of shape \(6,\)"),
        (bad(ids=np.zeros(7)), r"'far_two' .* ids should be 7 texts or whole numbers, got float64"),
        (bad(ids=np.array(["a\nb"] * 7)), r"'far_two' .*a\\nb"),
        (bad(abstain_index=np.array(2)), r"abstain_index is None in set 'train' .* and 2 in set 'far_two'"),
        (bad(abstain_index=np.array(K)), r"'far_two' .* abstain_index should be a column of the logits, 0..3, got 4"),
        (bad(abstain_index=np.zeros(2)), r"'far_two' .* abstain_index should be one whole number"),
        (bad(text_features=np.full((2, 2), np.nan)), r"'far_two' .* `text_features` should be .*finite"),
        (
            bad(features=np.zeros((2, 7, D), np.float32)),
            r"'far_two' .* same leading severity axis, got features \(2, 7, 6\)",
        ),
        (no_labels_in, r"'test' .* labels of an ID set should be in 0..3 .*, got 4 at row 5 \(id 'test/5'\)"),
        (partly_labelled, r"'test' .* got -1 at row 5"),
        (
            rename_logits,
            r"'far_two' .* should hold `features` \(n, d\), `logits` .* or `members` .*, but holds 'logit'; rename",
        ),
    ],
)
def test_bad_arrays_write_nothing(
    place: Home, tmp_path: Path, change: Callable[[dict[str, Arrays]], None], message: str
) -> None:
    sets = all_sets()
    change(sets)
    directory = save_npz(tmp_path / "tensors", sets)
    with pytest.raises(RequestError, match=message) as e:
        run(place, directory)
    assert "\n" not in str(e.value)
    assert not place.root.exists()


def test_sets_of_several_models_are_refused_without_a_head_too(place: Home, tmp_path: Path) -> None:
    sets = all_sets()
    sets["far_two"] = {"logits": np.zeros((7, K + 2), np.float32)}
    directory = save_npz(tmp_path / "tensors", sets)
    (directory / "head.npz").unlink()
    with pytest.raises(RequestError, match=r"logits K is 4 in set 'train' .* and 6 in set 'far_two'"):
        run(place, directory)
    assert not place.root.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": "trian"}, r"no set in .* is named 'trian' \(did you mean 'train'\?\); there are: far_one, "),
        ({"fit": "x=trian"}, r"'x=trian' should be name=set or name=file, but 'trian' is neither a set in "),
        ({"far": ["far_one", "near_one"]}, r"a set has one role, but 'near_one' is in near and far; keep it in one"),
        ({"far": ["near_one=far_one"]}, r"the set 'near_one' would come from .*near_one.npz and from .*far_one.npz"),
        ({"far": ["mean=far_one"]}, r"'mean' is reserved for averages"),
        ({"suite": "My suite"}, r"a suite's name is made of a-z, 0-9 and '-', got 'My suite'; 'my-suite' would do"),
        ({"model": " "}, r"an import needs a model name"),
        ({"val_from_fit": 1.5}, r"--val-from-fit should be a share between 0 and 1, got 1.5"),
        ({"val_from_fit": 0.001}, r"--val-from-fit 0.001 of 60 rows would take 0"),
        ({"val_from_fit": 0.1, "fit": None}, r"no set is fit; name it with --fit"),
        ({"val_from_fit": 0.1, "val": "test", "test": None}, r"val is given as 'test' and as a share of fit"),
        ({"val_from_fit": 0.1, "far": ["train-val=far_one"]}, r"a set has one role, but 'train-val' is in val and far"),
        ({"head": Path("nothing.npz")}, r"nothing.npz should be a whole .npz file .* No such file"),
        (
            {"head": Path("far_two.npz")},
            r"far_two.npz should hold the head as W \(K, d\) and b \(K,\), but holds 'feat",
        ),
    ],
)
def test_bad_requests_write_nothing(place: Home, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    with pytest.raises(RequestError, match=message):
        run(place, directory, **changes)
    assert not place.root.exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"W": np.zeros((D, K)), "b": np.zeros(K)}, r"head.npz: W should be \(K, d\) .* \(6, 4\) .*; transpose W"),
        ({"W": np.zeros((K, D)), "b": np.zeros(K + 1)}, r"head.npz: W should be .*; export both from the same layer"),
        ({"W": np.full((K, D), np.nan), "b": np.zeros(K)}, r"head.npz: the head's weight should be finite"),
        ({"W": np.zeros((K, D), int), "b": np.zeros(K)}, r"head.npz: the head should be floating-point W"),
        ({"W": np.zeros((K, D))}, r"head.npz should hold the head as .*, but holds 'W'; without a bias, b is zeros"),
        (
            {
                f"{layer}.{part}": np.zeros((K, D)[: 2 - (part == "bias")])
                for layer in "ab"
                for part in ("weight", "bias")
            },
            r"head.npz has 2 linear layers \(a, b\); save the last one as W and b",
        ),
        ({"W": np.zeros((K, D - 1)), "b": np.zeros(K)}, r"'train' .* the head expects d = 5"),
    ],
)
def test_bad_heads_write_nothing(place: Home, tmp_path: Path, arrays: Arrays, message: str) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    np.savez(directory / "head.npz", **arrays)
    with pytest.raises(RequestError, match=message):
        run(place, directory)
    assert not place.root.exists()


def test_ambiguous_files_are_named(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    np.save(directory / "head.npy", head_arrays()[0])
    with pytest.raises(RequestError, match=r"has 2 files that may be the head: head.npy, head.npz; pass --head"):
        run(place, directory)
    (directory / "head.npy").unlink()
    np.savez(directory / "train_logits.npz", **model_says(3, 0))
    with pytest.raises(RequestError, match=r"'train' could be train"):
        run(place, directory)
    (directory / "train.npz").unlink()
    with pytest.raises(
        RequestError, match=r"train_logits.npz is read as the logits of set 'train' and should hold one"
    ):
        run(place, directory)
    np.save(directory / "train_logits.npy", model_says(3, 0)["logits"])
    with pytest.raises(
        RequestError, match=r"the logits of set 'train' are both in train_logits.npy and in train_logits.npz"
    ):
        run(place, directory)
    assert not place.root.exists()


def test_folders_that_hold_nothing(place: Home, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"nowhere should be a folder of tensors, but there is no such folder"):
        run(place, tmp_path / "nowhere")
    with pytest.raises(RequestError, match=r"should hold sets as .npz, .npy, .pt, .safetensors or .pkl, but has none"):
        import_folder(place, tmp_path, model="net", suite="mine")


def test_half_precision_that_cannot_hold_the_numbers_is_refused(place: Home, tmp_path: Path) -> None:
    sets = all_sets()
    directory = save_npz(tmp_path / "tensors", sets)
    assert run(place, directory, dtype="fp16").manifests["train"].tensors["features"].dtype == "float16"
    sets["train"]["logits"][0, 0] = 1e6
    with pytest.raises(RequestError, match=r"'train' .* more than float16 can store"):
        run(Home(tmp_path / "other"), save_npz(directory, sets), dtype="fp16")
    assert not (tmp_path / "other").exists()


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RequestError, match=r"cannot write .*; choose a writable place with --home"):
        run(Home(tmp_path / "file"), directory)
