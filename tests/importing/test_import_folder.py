"""Import: every layout gives the same banks, with the roles that were asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folder_cases import (
    ROLES,
    SIZES,
    D,
    K,
    all_sets,
    bank,
    head_arrays,
    model_says,
    run,
    save_folders_of_npy,
    save_npy_parts,
    save_npz,
    save_safetensors,
    save_safetensors_parts,
    save_torch,
    save_torch_parts,
)

from ood_bench.bank.catalog import find_bank
from ood_bench.bank.heads import read_head
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.suites import list_suites, load_suite


@pytest.mark.parametrize(
    "save",
    [
        save_npz,
        save_npy_parts,
        save_folders_of_npy,
        save_torch_parts,
        save_torch,
        save_safetensors,
        save_safetensors_parts,
    ],
)
def test_every_layout_gives_the_same_banks(place: Home, tmp_path: Path, save: Callable[..., Any]) -> None:
    (directory := tmp_path / "tensors").mkdir()
    save(directory, all_sets())
    imported = run(place, directory)
    assert set(imported.manifests) == set(SIZES)
    assert (imported.already, imported.without_role, dict(imported.ignored)) == ((), (), {})
    for name, arrays in all_sets().items():
        stored = bank(place, name)
        np.testing.assert_array_equal(stored.read("features").numpy(), arrays["features"])
        np.testing.assert_array_equal(stored.read("logits").numpy(), arrays["logits"])
        kind = "labels" if name in ("train", "test") else "source_labels"
        np.testing.assert_array_equal(stored.read(kind).numpy(), arrays["labels"])
        assert list(stored.ids) == [f"{name}/{row}" for row in range(SIZES[name])]
        assert stored.manifest.identity.list_sha256 == sha256_of_lines(stored.ids)
        assert (stored.manifest.identity.ids_kind, stored.manifest.identity.preprocessing) == ("row", "imported")
        assert stored.manifest.head_error is not None
        assert stored.manifest.head_error < 1e-5
    head = read_head(place.head_folder("net", None, "default"))
    np.testing.assert_array_equal(head.weight.numpy(), head_arrays()[0])
    np.testing.assert_array_equal(head.bias.numpy(), head_arrays()[1])


def test_the_suite_reads_like_any_other(place: Home, tmp_path: Path) -> None:
    imported = run(place, save_npz(tmp_path / "tensors", all_sets()), fpr="ood_positive")
    suite = load_suite("mine", place)
    assert suite == imported.suite
    assert (suite.fit, suite.val, suite.test, suite.models) == ("train", None, "test", ("net",))
    assert suite.groups == {"near": ("near_one",), "far": ("far_one", "far_two")}
    assert (suite.fpr, suite.label_space, suite.origin) == ("ood_positive", "default", "home")
    for name, spec in suite.sets.items():
        assert spec.count == SIZES[name]
        assert find_bank(place, "net", None, name, spec.list_sha256, label_space="default") is not None


def test_the_pickles_of_the_vim_scripts(place: Home, tmp_path: Path) -> None:
    (directory := tmp_path / "tensors").mkdir()
    for name, arrays in all_sets().items():
        (directory / f"{name}.pkl").write_bytes(pickle.dumps(arrays["features"], protocol=2))
    (directory / "fc.pkl").write_bytes(pickle.dumps(head_arrays(), protocol=2))
    run(place, directory)
    stored, arrays = bank(place, "train"), all_sets()["train"]
    np.testing.assert_array_equal(stored.read("features").numpy(), arrays["features"])
    np.testing.assert_array_equal(stored.read("logits").numpy(), arrays["logits"])
    assert "logits" in stored.manifest.tensors
    assert not stored.has_labels


def test_features_alone_and_logits_alone(place: Home, tmp_path: Path) -> None:
    (directory := tmp_path / "tensors").mkdir()
    arrays = model_says(9, 0)
    np.save(directory / "train.npy", arrays["features"])
    np.savez(directory / "test.npz", logits=arrays["logits"])
    imported = import_folder(place, directory, model="net", suite="mine", fit="train", test="test")
    assert (bank(place, "train").inputs, bank(place, "test").inputs) == ({"features", "labels"}, {"logits", "labels"})
    assert imported.head_sha256 is None


def test_members_alone(place: Home, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    sets = {name: {"members": rng.normal(size=(n, 3, K)).astype(np.float32)} for name, n in SIZES.items()}
    for name, arrays in sets.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    done = import_folder(place, tmp_path, model="ensemble", suite="mine", **ROLES)
    assert {manifest.n_classes for manifest in done.manifests.values()} == {K}
    stored = bank(place, "far_one", model="ensemble")
    expected = sets["far_one"]["members"].astype(np.float64).mean(axis=1).astype(np.float32)
    np.testing.assert_allclose(stored.read("logits").numpy(), expected, rtol=1e-6)
    assert import_folder(place, tmp_path, model="ensemble", suite="mine", **ROLES).nothing_new


def test_severities_become_sets_of_one_family(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    levels = [model_says(8, seed) for seed in range(50, 53)]
    stacked = {
        "logits": np.stack([level["logits"] for level in levels]),
        "features": np.stack([level["features"] for level in levels]).astype(np.float16),
        "labels": levels[0]["labels"],
    }
    save_npz(directory / "shifted", {"gaussian_noise": stacked, "rotate-2": levels[0], "rotate-1": levels[1]})
    imported = run(place, directory, shifted=["shifted"])
    assert imported.suite.shifted == {
        "gaussian_noise": ("gaussian_noise-1", "gaussian_noise-2", "gaussian_noise-3"),
        "rotate": ("rotate-1", "rotate-2"),
    }
    for level, arrays in enumerate(levels, 1):
        stored = bank(place, f"gaussian_noise-{level}")
        np.testing.assert_array_equal(stored.read("logits").numpy(), arrays["logits"])
        np.testing.assert_array_equal(stored.read("features").numpy(), arrays["features"].astype(np.float16))
        np.testing.assert_array_equal(stored.read("labels").numpy(), levels[0]["labels"])


def test_a_share_of_fit_becomes_val_and_says_so(place: Home, tmp_path: Path) -> None:
    imported = run(place, save_npz(tmp_path / "tensors", all_sets()), val_from_fit=0.1, seed=3)
    suite, whole = imported.suite, all_sets()["train"]
    assert (suite.fit, suite.val) == ("train", "train-val")
    assert (suite.sets["train"].count, suite.sets["train-val"].count) == (54, 6)
    assert suite.sets["train-val"].selection.startswith("6 of the 60 rows of 'train', drawn without replacement")
    assert (suite.sets["train"].seed, suite.sets["train-val"].seed) == (3, 3)
    fit, val = bank(place, "train"), bank(place, "train-val")
    assert sorted([*fit.ids, *val.ids]) == sorted(f"train/{row}" for row in range(60))
    for part in (fit, val):
        rows = [int(identifier.split("/")[1]) for identifier in part.ids]
        assert rows == sorted(rows)
        np.testing.assert_array_equal(part.read("features").numpy(), whole["features"][rows])
        np.testing.assert_array_equal(part.read("labels").numpy(), whole["labels"][rows])


def test_val_is_never_taken_from_fit_in_silence(place: Home, tmp_path: Path) -> None:
    imported = run(place, save_npz(tmp_path / "tensors", all_sets()))
    assert imported.suite.val is None
    assert imported.suite.sets["train"].count == 60


def test_ids_of_the_file_constants_and_the_abstain_column(place: Home, tmp_path: Path) -> None:
    text = np.random.default_rng(0).normal(size=(K, D)).astype(np.float32)
    extra = {"text_features": text, "abstain_index": np.array(K - 1)}
    sets = {name: arrays | extra for name, arrays in all_sets().items()}
    names = np.array([f"images/ü {i}.png" for i in range(SIZES["test"])])
    sets["test"] |= {"ids": names, "paths": names}
    imported = run(place, save_npz(tmp_path / "tensors", sets))
    stored = bank(place, "test")
    assert list(stored.ids) == names.tolist()
    assert (stored.manifest.identity.ids_kind, stored.abstain_index) == ("source", K - 1)
    np.testing.assert_array_equal(stored.constants["text_features"].numpy(), text)
    assert dict(imported.ignored) == {"test.npz": ("paths",)}


def test_sets_can_be_renamed_and_named_by_file_or_sub_folder(place: Home, tmp_path: Path) -> None:
    sets = all_sets()
    directory = save_npz(tmp_path / "tensors", {"train": sets["train"], "test": sets["test"]})
    save_npz(directory / "ood", {"test": sets["far_one"], "b": sets["far_two"]})
    np.savez(tmp_path / "elsewhere.npz", **sets["near_one"])
    with pytest.raises(RequestError, match=r"'test' could be ood/test.npz or test.npz; name the one that is meant"):
        run(place, directory, near=[], far=[])
    imported = run(
        place,
        directory,
        fit="train.npz",
        test="test.npz",
        near=[f"new={tmp_path / 'elsewhere.npz'}"],
        far=["old=ood/test", "ood/b"],
    )
    assert imported.suite.groups == {"near": ("new",), "far": ("old", "b")}
    np.testing.assert_array_equal(bank(place, "old").read("logits").numpy(), sets["far_one"]["logits"])
    np.testing.assert_array_equal(bank(place, "new").read("logits").numpy(), sets["near_one"]["logits"])


def test_roles_from_toml(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    (toml := tmp_path / "roles.toml").write_text(
        'title = "T"\nprotocol = "P"\nfpr = "ood_positive"\n[roles]\nfit = "train"\ntest = "test"\n'
        '[groups]\nclose = ["near_one"]\n[shifted]\nworse = ["far_two", "far_one"]\n'
    )
    imported = import_folder(place, directory, model="net", suite="mine", roles_toml=toml)
    suite = load_suite("mine", place)
    assert suite == imported.suite
    assert (suite.title, suite.protocol, suite.fpr) == ("T", "P", "ood_positive")
    assert (suite.groups, suite.shifted) == ({"close": ("near_one",)}, {"worse": ("far_two", "far_one")})
    assert bank(place, "far_two").has_labels

    toml.write_text('shifted = ["far_one", "far_two"]\n')
    other = import_folder(place, directory, model="net", suite="other", roles_toml=toml)
    assert other.suite.shifted == {"far_one": ("far_one",), "far_two": ("far_two",)}
    with pytest.raises(RequestError, match=r"roles are given by flags and by .*roles.toml; give them in one"):
        import_folder(place, directory, model="net", suite="third", roles_toml=toml, fit="train")
    toml.write_text('[role]\nfit = "train"\n')
    with pytest.raises(
        RequestError, match=r"roles file .*roles.toml has the unknown key 'role' \(did you mean 'roles'"
    ):
        import_folder(place, directory, model="net", suite="third", roles_toml=toml)


def test_without_roles_the_whole_command_is_shown(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets() | {"my val": model_says(3, 9)})
    save_npz(directory / "shifted", {"blur": model_says(3, 9)})
    with pytest.raises(
        RequestError, match=r"roles are not guessed; there are: far_one, .*, shifted/ \(1 sets\); "
    ) as e:
        import_folder(place, directory, model="net", suite="mine")
    assert str(e.value).endswith(
        f"ood-bench import {directory} --model net --suite mine --fit train --test test --val 'my val' "
        "--far far_one,far_two,near_one --shifted shifted"
    )
    assert not place.root.exists()


def test_the_real_folder(place: Home, shared: Path) -> None:
    directory = shared / "data" / "mnist-oe-baseline"
    far = ["cifar10_gray", "kmnist105", "negative_mnist", "omniglot"]
    imported = import_folder(
        place,
        directory,
        model="convnet",
        suite="my-mnist",
        fit="train",
        test="test",
        near=["notmnist", "fashionmnist"],
        far=far,
        shifted=["shifted"],
    )
    assert (len(imported.manifests), len(imported.suite.shifted), imported.without_role) == (48, 8, ())
    assert [suite.name for suite in list_suites(place) if suite.origin == "home"] == ["my-mnist"]
    with np.load(directory / "test.npz", allow_pickle=False) as given:
        test = bank(place, "test", "convnet")
        np.testing.assert_array_equal(test.read("logits").numpy(), given["logits"])
        wrong = (test.read("logits").argmax(dim=1) != test.read("labels")).double().mean().item()
    assert wrong == pytest.approx(0.0094, abs=1e-12)  # published_results.txt: error rate 0.94 %
    assert {manifest.head_refused for manifest in imported.manifests.values()} == {None}
