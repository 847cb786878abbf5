from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from ood_bench.bank.catalog import find_bank, find_banks, find_interrupted, remove, size_in_bytes
from ood_bench.bank.heads import write_head
from ood_bench.bank.manifest import Identity, Manifest
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.types import Head

Rows = dict[str, Tensor]
Write = Callable[..., Manifest]


def test_an_empty_home_has_no_banks(where: Home) -> None:
    assert find_banks(where) == find_interrupted(where) == []
    assert find_bank(where, "net", 1, "digits") is None


def test_banks_are_found_by_model_seed_and_set(
    where: Home, identity: Identity, rows: Rows, head: Head, write: Write
) -> None:
    odd = replace(identity, model="timm:a/b@c", model_seed=None, set="../my set@1")
    others = [replace(identity, set="digits2"), replace(identity, model_seed=2), odd]
    manifests = [write(rows, identity=each) for each in (identity, *others)]
    write_head(where.head_folder("net", 1, "ten"), head, "ten")
    found = find_banks(where)
    assert sorted(manifest.bank_sha256 for _, manifest in found) == sorted(each.bank_sha256 for each in manifests)
    assert all(where.banks in folder.parents for folder, _ in found)
    for each in (identity, *others):
        assert find_bank(where, each.model, each.model_seed, each.set) == each.folder(where)
    assert find_bank(where, "net", 1, "digits", "a" * 64) == identity.folder(where)
    assert find_bank(where, "net", 1, "digits", "c" * 64) is None
    assert find_bank(where, "net", None, "digits") is None


def test_two_lists_of_one_set_must_be_told_apart(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    other = replace(identity, list_sha256="c" * 64)
    relabelled = replace(identity, label_space="coarse")
    for each in (identity, other, relabelled):
        write(rows, identity=each)
    with pytest.raises(RequestError, match=r"one bank of net on digits was expected, and there are 3: .* and .*@"):
        find_bank(where, "net", 1, "digits")
    assert find_bank(where, "net", 1, "digits", "c" * 64) == other.folder(where)
    assert find_bank(where, "net", 1, "digits", "a" * 64, label_space="coarse") == relabelled.folder(where)


def test_an_interrupted_bank_is_listed_apart(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    folder = identity.folder(where)
    (folder / "manifest.json").unlink()
    assert find_banks(where) == []
    assert find_bank(where, "net", 1, "digits") is None
    assert find_interrupted(where) == [folder]


def test_size_and_removal(where: Home, identity: Identity, rows: Rows, write: Write, tmp_path: Path) -> None:
    write(rows)
    folder = identity.folder(where)
    assert size_in_bytes(folder) == sum(len(path.read_bytes()) for path in folder.iterdir())
    remove(folder)
    assert not folder.exists()
    with pytest.raises(RequestError, match=r"no bank is at .*; ood-bench list banks"):
        remove(folder)
