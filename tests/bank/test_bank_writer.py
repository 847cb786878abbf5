from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ood_bench.bank.catalog import find_interrupted
from ood_bench.bank.manifest import Identity, Manifest, read_manifest
from ood_bench.bank.reader import open_bank
from ood_bench.bank.verify import verify
from ood_bench.bank.writer import BankWriter
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.types import Head

Rows = dict[str, Tensor]
Write = Callable[..., Manifest]


def test_what_is_written_is_read_back(
    where: Home, identity: Identity, rows: Rows, ids: list[str], write: Write
) -> None:
    manifest = write(rows)
    bank = open_bank(identity.folder(where))
    assert bank.manifest == manifest
    assert bank.ids == ids
    assert bank.has_labels
    for name, tensor in rows.items():
        assert torch.equal(bank.read(name), tensor)
    assert [shard.rows for shard in manifest.shards] == [7] * 7 + [1]
    assert manifest.head_error == pytest.approx(0, abs=1e-5)
    assert manifest.head_refused is None
    assert verify(bank.folder) == []


def test_the_hash_depends_on_content_and_not_on_how_it_was_cut(tmp_path: Path, rows: Rows, write: Write) -> None:
    first = write(rows, replace=True, rows_per_shard=7, at_a_time=50)
    second = write(rows, replace=True, rows_per_shard=50, at_a_time=3)
    assert first.bank_sha256 == second.bank_sha256
    assert len(second.shards) == 1
    changed = write(rows | {"features": rows["features"].clone().index_fill_(0, torch.tensor([9]), 0.0)}, replace=True)
    assert changed.bank_sha256 != first.bank_sha256


def test_the_hash_depends_on_identity(identity: Identity, rows: Rows, write: Write) -> None:
    one = write(rows)
    other = write(rows, identity=replace(identity, weights_sha256="c" * 64, set="other"))
    assert one.bank_sha256 != other.bank_sha256
    assert one.tensors == other.tensors


def test_same_content_is_a_no_op(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    first = write(rows)
    folder = identity.folder(where)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert write(rows) == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_other_content_needs_replace(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    first = write(rows)
    other = rows | {"labels": rows["labels"].flip(0)}
    with pytest.raises(RequestError, match=r"net@1 on digits is already in .*other content.*--replace") as caught:
        write(other)
    assert first.bank_sha256[:12] in str(caught.value)
    assert read_manifest(identity.folder(where)) == first
    second = write(other, replace=True)
    assert torch.equal(open_bank(identity.folder(where)).read("labels"), other["labels"])
    assert read_manifest(identity.folder(where)) == second
    assert [path.name for path in identity.folder(where).parent.iterdir()] == [identity.folder(where).name]


def test_importing_over_a_damaged_bank_says_so(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    shard = identity.folder(where) / "shard-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"already there but damaged: .*shard-00002.*--replace"):
        write(rows)
    write(rows, replace=True)
    assert verify(identity.folder(where)) == []


def test_a_head_that_comes_later_is_noted(rows: Rows, head: Head, write: Write) -> None:
    first = write(rows, head=None)
    assert first.head_sha256 is first.head_error is None
    second = write(rows, head=head)
    assert second.bank_sha256 == first.bank_sha256
    assert second.head_error is not None
    assert second.head_sha256 is not None


def test_a_head_that_does_not_fit_is_recorded_and_refused(rows: Rows, write: Write) -> None:
    manifest = write(rows | {"logits": rows["logits"].sigmoid()})
    assert manifest.head_error is not None
    assert manifest.head_error > 0.1
    assert "does not reproduce the logits" in (manifest.head_refused or "")


def test_labels_of_an_ood_set_are_kept_apart(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    manifest = write(rows | {"labels": rows["labels"] + 1000}, kind_of_labels="ood")
    bank = open_bank(identity.folder(where))
    assert not manifest.has_labels
    assert bool((bank.read("labels") == -1).all())
    assert torch.equal(bank.read("source_labels"), rows["labels"] + 1000)


def test_labels_may_be_absent(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    del rows["labels"]
    assert not write(rows).has_labels
    assert bool((open_bank(identity.folder(where)).read("labels") == -1).all())


def test_labels_for_some_rows_only_are_refused(rows: Rows, write: Write) -> None:
    rows["labels"][20:] = -1
    with pytest.raises(RequestError, match=r"either every row has a label or none.*row 20 \(id 'image-20.png'\)"):
        write(rows)


def test_logits_left_out_follow_from_features_and_head(
    where: Home, identity: Identity, rows: Rows, head: Head, write: Write
) -> None:
    manifest = write(rows, keep_logits=False)
    assert "logits" not in manifest.tensors
    assert manifest.n_classes == 4
    bank = open_bank(identity.folder(where), head)
    expected = (rows["features"].double() @ head.weight.double().T + head.bias.double()).float()
    torch.testing.assert_close(bank.read("logits"), expected, rtol=1e-6, atol=1e-6)
    assert "logits" not in open_bank(identity.folder(where)).inputs
    other = Head(head.weight + 1, head.bias)
    with pytest.raises(RequestError, match="logits are not stored and follow from head"):
        open_bank(identity.folder(where), other)


def test_logits_that_the_head_does_not_give_cannot_be_left_out(rows: Rows, write: Write) -> None:
    with pytest.raises(RequestError, match="cannot be left out, because the head does not reproduce"):
        write(rows | {"logits": rows["logits"].sigmoid()}, keep_logits=False)
    with pytest.raises(RequestError, match="can be left out only where features and a head"):
        write(rows, head=None, keep_logits=False)


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_is_stored_and_overflow_refused(
    where: Home, identity: Identity, rows: Rows, write: Write, dtype: str
) -> None:
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    write(rows, dtype=dtype)
    bank = open_bank(identity.folder(where))
    assert torch.equal(bank.read("features"), rows["features"].to(kind))
    features = rows["features"].double()
    features[30, 2] = 1e39
    with pytest.raises(RequestError, match=r"`features` holds 1e\+39 at row 30 .*more than .*float16 can store.*fp32"):
        write(rows | {"features": features}, dtype=dtype, replace=True)


def test_a_bad_row_late_in_one_piece_leaves_nothing_behind(where: Home, rows: Rows, write: Write) -> None:
    rows["features"][45, 0] = float("nan")
    with pytest.raises(
        RequestError, match=r"`features` should be finite, but holds NaN at row 45 \(id 'image-45.png'\)"
    ):
        write(rows, at_a_time=50)
    assert not where.root.exists()


def test_a_bad_row_in_a_late_piece_can_be_discarded(
    where: Home, identity: Identity, rows: Rows, ids: list[str], head: Head
) -> None:
    writer = BankWriter(where, identity, kind_of_labels="id", head=head, rows_per_shard=7)
    writer.add(ids, rows)
    assert find_interrupted(where) == [identity.folder(where)]
    with pytest.raises(RequestError, match=r"holds NaN at row 50 \(id 'image-0.png'\)"):
        writer.add(ids, rows | {"logits": rows["logits"] * float("nan")})
    writer.discard()
    assert find_interrupted(where) == []


def test_an_interrupted_write_goes_on_at_the_last_whole_shard(
    where: Home, identity: Identity, rows: Rows, ids: list[str], head: Head, write: Write
) -> None:
    writer = BankWriter(where, identity, kind_of_labels="id", head=head, rows_per_shard=7)
    writer.add(ids[:20], {name: tensor[:20] for name, tensor in rows.items()})
    del writer
    again = BankWriter(where, identity, kind_of_labels="id", head=head, rows_per_shard=7)
    assert again.rows_done == 14
    del again
    with pytest.raises(RequestError, match=r"was interrupted: it has no manifest.json"):
        open_bank(identity.folder(where))
    resumed = write(rows)
    fresh = write(rows, replace=True)
    assert (resumed.bank_sha256, resumed.shards, resumed.head_error) == (
        fresh.bank_sha256,
        fresh.shards,
        fresh.head_error,
    )


@pytest.mark.parametrize("change", [{"source": "another file"}, {"dtype": "fp16"}, {"rows_per_shard": 5}])
def test_an_interrupted_write_of_something_else_is_not_gone_on_with(
    where: Home, identity: Identity, rows: Rows, ids: list[str], head: Head, change: dict[str, object]
) -> None:
    options: dict[str, object] = {"kind_of_labels": "id", "head": head, "rows_per_shard": 7}
    writer = BankWriter(where, identity, **options)  # type: ignore[arg-type]  # a dict of mixed options
    writer.add(ids[:20], {name: tensor[:20] for name, tensor in rows.items()})
    del writer
    other = BankWriter(where, identity, **(options | change))  # type: ignore[arg-type]  # likewise
    assert other.rows_done == 0
    other.add(ids, rows)
    assert verify_after(other, identity.folder(where)) == []


def verify_after(writer: BankWriter, folder: Path) -> list[str]:
    writer.finish()
    return verify(folder)


def test_two_writers_at_once(where: Home, identity: Identity, rows: Rows, ids: list[str], head: Head) -> None:
    first, second = (BankWriter(where, identity, kind_of_labels="id", head=head, rows_per_shard=7) for _ in range(2))
    first.add(ids, rows)
    with pytest.raises(RequestError, match="is being written by another process; repeat the command"):
        second.add(ids, rows)
    first.finish()
    assert verify(identity.folder(where)) == []


def test_empty_and_wrong_counts_are_refused(where: Home, identity: Identity, rows: Rows, ids: list[str]) -> None:
    writer = BankWriter(where, identity, kind_of_labels="id", head=None, n_expected=51)
    writer.add([], {"logits": torch.zeros(0, 4)})
    with pytest.raises(RequestError, match="a set needs at least one row, got none"):
        writer.finish()
    writer.add(ids, rows)
    with pytest.raises(RequestError, match="51 rows were announced and 50 came"):
        writer.finish()
    with pytest.raises(RequestError, match="at least one row, got rows_per_shard=0"):
        BankWriter(where, identity, kind_of_labels="id", head=None, rows_per_shard=0)
    assert not where.root.exists()


def test_rows_must_stay_alike(where: Home, identity: Identity, rows: Rows, ids: list[str]) -> None:
    writer = BankWriter(where, identity, kind_of_labels="id", head=None)
    writer.add(ids, rows)
    with pytest.raises(RequestError, match=r"all rows should have .* like the first, got .* from row 50"):
        writer.add(ids, {"logits": rows["logits"]})


def test_the_callers_memory_may_be_filled_again(where: Home, identity: Identity, rows: Rows, ids: list[str]) -> None:
    writer = BankWriter(where, identity, kind_of_labels="id", head=None)
    buffer = rows["logits"].clone()
    writer.add(ids, {"logits": buffer})
    buffer.zero_()
    writer.finish()
    assert torch.equal(open_bank(identity.folder(where)).read("logits"), rows["logits"])


def test_constants_and_wide_tensors(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    text = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    members = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(4))
    write(rows | {"members": members}, constants={"text_features": text})
    bank = open_bank(identity.folder(where))
    assert torch.equal(bank.constants["text_features"], text)
    assert torch.equal(bank.read("members"), members)
    path = bank.folder / "constants.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"constants.safetensors was changed"):
        _ = open_bank(bank.folder).constants


def test_no_permission_is_one_sentence(tmp_path: Path, identity: Identity, rows: Rows, ids: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = BankWriter(Home(tmp_path / "file"), identity, kind_of_labels="id", head=None)
    writer.add(ids, rows)
    with pytest.raises(RequestError, match=r"cannot write .*file.*--home"):
        writer.finish()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_write_permission(tmp_path: Path, identity: Identity, rows: Rows, ids: list[str]) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    writer = BankWriter(Home(tmp_path / "locked"), identity, kind_of_labels="id", head=None)
    writer.add(ids, rows)
    with pytest.raises(RequestError, match=r"cannot write .*Permission denied.*--home"):
        writer.finish()


def test_the_real_banks_fit_their_heads(shared: Path, where: Home) -> None:
    np = pytest.importorskip("numpy")
    folder = shared / "data" / "mnist-oe-baseline"
    stored = np.load(folder / "head.npz")
    head = Head(torch.from_numpy(stored["W"]), torch.from_numpy(stored["b"]))
    arrays = dict(np.load(folder / "notmnist.npz"))
    given = {name: torch.from_numpy(arrays[name]) for name in ("features", "logits", "labels") if name in arrays}
    identity = Identity("mnist", None, "notmnist", "d" * 64, "row", "digits")
    writer = BankWriter(where, identity, kind_of_labels="ood", head=head)
    writer.add([str(row) for row in range(len(given["logits"]))], given)
    manifest = writer.finish()
    assert manifest.head_refused is None
    assert manifest.head_error is not None
    assert manifest.head_error < 1e-3
    assert json.loads((identity.folder(where) / "manifest.json").read_text())["n_classes"] == 10
