"""Import: every layout gives the same banks, bad input writes nothing, and the same import again does nothing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ood_bench.bank.catalog import find_bank, find_banks
from ood_bench.bank.heads import head_sha256, read_head
from ood_bench.bank.reader import DiskBank, open_bank
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import Imported, import_folder
from ood_bench.suites import list_suites, load_suite

D, K = 6, 4
SIZES = {"train": 60, "test": 40, "near_one": 30, "far_one": 20, "far_two": 7}
ROLES: dict[str, Any] = {"fit": "train", "test": "test", "near": ["near_one"], "far": ["far_one", "far_two"]}

Arrays = dict[str, np.ndarray]


def model_says(n: int, seed: int) -> Arrays:
    """Features, logits and labels of a linear model, float32."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, D)).astype(np.float32)
    weight, bias = head_arrays()
    logits = (features.astype(np.float64) @ weight.T.astype(np.float64) + bias).astype(np.float32)
    return {"features": features, "logits": logits, "labels": rng.integers(0, K, n)}


def head_arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(99)
    return rng.normal(size=(K, D)).astype(np.float32), rng.normal(size=K).astype(np.float32)


def all_sets() -> dict[str, Arrays]:
    return {name: model_says(n, seed) for seed, (name, n) in enumerate(SIZES.items())}


def save_npz(directory: Path, sets: dict[str, Arrays]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, arrays in sets.items():
        np.savez(directory / f"{name}.npz", **arrays)
    weight, bias = head_arrays()
    np.savez(directory / "head.npz", W=weight, b=bias)
    return directory


def save_npy_parts(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        for array, values in arrays.items():
            np.save(directory / f"{name}_{array}.npy", values)
    weight, bias = head_arrays()
    torch.save({"fc.weight": torch.from_numpy(weight), "fc.bias": torch.from_numpy(bias)}, directory / "fc.pt")


def save_folders_of_npy(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        (directory / name).mkdir()
        for array, values in arrays.items():
            np.save(directory / name / f"{array}.npy", values)
    np.savez(directory / "head.npz", w=head_arrays()[0], bias=head_arrays()[1])


def save_torch_parts(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        for array, values in arrays.items():
            torch.save(torch.from_numpy(values), directory / f"{name}_{array}.pt")
    weight, bias = map(torch.from_numpy, head_arrays())
    model = {"conv.weight": torch.zeros(2, 2, 3, 3), "conv.bias": torch.zeros(2), "fc.weight": weight, "fc.bias": bias}
    torch.save({"epoch": 3, "state_dict": model}, directory / "head.pth")


def save_torch(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        torch.save({array: torch.from_numpy(values) for array, values in arrays.items()}, directory / f"{name}.pt")
    torch.save(tuple(map(torch.from_numpy, head_arrays())), directory / "head.pt")


def save_safetensors(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        save_file({k: torch.from_numpy(values) for k, values in arrays.items()}, directory / f"{name}.safetensors")
    weight, bias = map(torch.from_numpy, head_arrays())
    save_file({"weight": weight, "bias": bias}, directory / "head.safetensors")


def save_safetensors_parts(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        for array, values in arrays.items():
            save_file({"x": torch.from_numpy(values)}, directory / f"{name}_{array}.safetensors")
    weight, bias = map(torch.from_numpy, head_arrays())
    save_file({"weight": weight, "bias": bias}, directory / "head.safetensors")


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def run(place: Home, directory: Path, **changes: Any) -> Imported:
    return import_folder(place, directory, **({"model": "net", "suite": "mine", **ROLES} | changes))


def bank(place: Home, name: str, model: str = "net") -> DiskBank:
    folder = find_bank(place, model, None, name)
    assert folder is not None
    return open_bank(folder)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


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


def test_the_same_import_again_does_nothing(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    assert not run(place, directory).nothing_new
    before = files_below(place.root)
    again = run(place, directory)
    assert again.nothing_new
    assert set(again.already) == set(SIZES)
    assert files_below(place.root) == before


def test_other_content_needs_replace(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    run(place, directory)
    before = files_below(place.root)
    changed = all_sets() | {"far_two": model_says(SIZES["far_two"], 77)}
    save_npz(directory, changed)
    with pytest.raises(RequestError, match=r"net on far_two is already in .* with other content .* pass --replace"):
        run(place, directory)
    assert files_below(place.root) == before
    run(place, directory, replace=True)
    np.testing.assert_array_equal(bank(place, "far_two").read("logits").numpy(), changed["far_two"]["logits"])
    assert len(find_banks(place)) == len(SIZES)
    assert run(place, directory).nothing_new


def test_other_roles_or_another_head_need_replace(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    run(place, directory)
    before = files_below(place.root)
    with pytest.raises(
        RequestError, match=r"the suite 'mine' is there already with other groups, sets \(.*mine.toml\)"
    ):
        run(place, directory, far=["far_one"])
    weight, bias = head_arrays()
    np.savez(directory / "head.npz", W=weight, b=bias + 1e-5)
    with pytest.raises(RequestError, match=r"net has another head for the label space 'default' at .*; pass --replace"):
        run(place, directory)
    assert files_below(place.root) == before
    run(place, directory, far=["far_one"], replace=True)
    assert load_suite("mine", place).groups["far"] == ("far_one",)


def test_a_head_that_comes_later_joins(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    (directory / "head.npz").rename(tmp_path / "last.npz")
    assert run(place, directory).head_sha256 is None
    later = run(place, directory, head=tmp_path / "last.npz")
    assert {manifest.head_sha256 for manifest in later.manifests.values()} == {later.head_sha256}
    assert head_sha256(read_head(place.head_folder("net", None, "default"))) == later.head_sha256
    assert run(place, directory, head=tmp_path / "last.npz").nothing_new


def test_a_second_model_joins_the_suite(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    run(place, directory)
    both = run(place, directory, model="net-b")
    assert both.suite.models == load_suite("mine", place).models == ("net", "net-b")
    assert run(place, directory).nothing_new
    only = run(place, directory, model="net-b", far=["far_one"], replace=True)
    assert only.suite.models == ("net-b",)


def test_a_damaged_bank_is_named_and_replace_heals_it(place: Home, tmp_path: Path) -> None:
    directory = save_npz(tmp_path / "tensors", all_sets())
    run(place, directory)
    shard = bank(place, "train").folder / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(IntegrityError, match=r"net on train is already there but damaged: .*--replace"):
        run(place, directory)
    run(place, directory, replace=True)
    np.testing.assert_array_equal(bank(place, "train").read("logits").numpy(), all_sets()["train"]["logits"])


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
