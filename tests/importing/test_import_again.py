"""Import: the same again does nothing, other content needs --replace, and what comes later joins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from folder_cases import (
    SIZES,
    all_sets,
    bank,
    files_below,
    head_arrays,
    model_says,
    run,
    save_npz,
)

from ood_bench.bank.catalog import find_banks
from ood_bench.bank.heads import head_sha256, read_head
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.suites import load_suite


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
