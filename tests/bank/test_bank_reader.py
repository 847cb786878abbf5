from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ood_bench.bank.heads import write_head
from ood_bench.bank.manifest import Identity, Manifest
from ood_bench.bank.reader import open_bank
from ood_bench.bank.verify import verify
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.types import Head

Rows = dict[str, Tensor]
Write = Callable[..., Manifest]


def test_batches_cross_shard_borders_in_order(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    batches = list(open_bank(identity.folder(where)).batches(3))
    assert [first for first, _ in batches] == list(range(0, 50, 3))
    assert [len(batch["labels"]) for _, batch in batches] == [3] * 16 + [2]
    for name, tensor in rows.items():
        assert torch.equal(torch.cat([batch[name] for _, batch in batches]), tensor)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(per_shard=st.integers(1, 60), batch=st.integers(1, 60))
def test_any_cut_gives_the_same_rows(
    where: Home, identity: Identity, rows: Rows, write: Write, per_shard: int, batch: int
) -> None:
    manifest = write(rows, rows_per_shard=per_shard, at_a_time=13, replace=True)
    bank = open_bank(identity.folder(where))
    assert sum(shard.rows for shard in manifest.shards) == 50
    parts = [part["features"] for _, part in bank.batches(batch, ("features",))]
    assert all(len(part) == batch for part in parts[:-1])
    assert torch.equal(torch.cat(parts), rows["features"])


def test_only_what_is_asked_for_is_read(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    bank = open_bank(identity.folder(where))
    assert bank.inputs == {"features", "logits", "labels"}
    assert (bank.n, bank.n_features, bank.n_classes) == (50, 6, 4)
    assert [set(batch) for _, batch in bank.batches(50, ("labels",))] == [{"labels"}]
    with pytest.raises(RequestError, match="net@1 on digits has no `members`; it has features, labels, logits"):
        bank.read("members")
    with pytest.raises(RequestError, match="at least one row, got rows=0"):
        next(bank.batches(0))


def test_batches_are_the_callers_own(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    bank = open_bank(identity.folder(where))
    bank.read("features").zero_()
    assert torch.equal(bank.read("features"), rows["features"])


def test_logits_follow_from_the_head_beside_the_bank(
    where: Home, identity: Identity, rows: Rows, head: Head, write: Write
) -> None:
    write(rows, keep_logits=False)
    write_head(where.head_folder("net", 1, "ten"), head, "ten")
    bank = open_bank(identity.folder(where))
    assert "logits" in bank.inputs
    batches = [batch for _, batch in bank.batches(8, ("logits",))]
    assert [set(batch) for batch in batches] == [{"logits"}] * 7
    torch.testing.assert_close(torch.cat([batch["logits"] for batch in batches]), rows["logits"])


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove"])
def test_a_damaged_shard_is_named(where: Home, identity: Identity, rows: Rows, write: Write, damage: str) -> None:
    write(rows)
    folder = identity.folder(where)
    shard = folder / "shard-00003.safetensors"
    data = bytearray(shard.read_bytes())
    data[-5] ^= 4
    shard.unlink()
    if damage != "remove":
        shard.write_bytes({"flip": bytes(data), "truncate": bytes(data[:-8]), "empty": b""}[damage])
    batches = open_bank(folder).batches(7)
    assert [next(batches)[0] for _ in range(3)] == [0, 7, 14]
    with pytest.raises(IntegrityError, match=r"shard-00003.safetensors .*ood-bench import .* --replace"):
        next(batches)
    problems = verify(folder)
    assert len(problems) == 1
    assert "shard-00003" in problems[0]


def test_damage_after_the_first_reading_is_seen(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    bank = open_bank(identity.folder(where))
    bank.read("labels")
    shard = bank.folder / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(IntegrityError, match=r"shard-00000.safetensors is damaged"):
        bank.read("labels")


def test_ids_that_were_changed_are_refused(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    path = identity.folder(where) / "ids.txt"
    path.write_text(path.read_text().replace("image-7.png", "image-x.png"))
    with pytest.raises(IntegrityError, match=r"ids.txt should hold the 50 ids that were written"):
        _ = open_bank(identity.folder(where)).ids
    assert any("ids.txt" in problem for problem in verify(identity.folder(where)))


def test_a_head_of_other_shape_is_refused(where: Home, identity: Identity, rows: Rows, write: Write) -> None:
    write(rows)
    folder = identity.folder(where)
    with pytest.raises(RequestError, match="features have 6 columns and the head's have 5"):
        open_bank(folder, Head(torch.zeros(4, 5), torch.zeros(4)))
    with pytest.raises(RequestError, match="logits have 4 columns and the head's have 9"):
        open_bank(folder, Head(torch.zeros(9, 6), torch.zeros(9)))


STREAM = """
import resource, sys
from pathlib import Path
import torch
from ood_bench.bank.manifest import Identity
from ood_bench.bank.reader import open_bank
from ood_bench.bank.writer import BankWriter
from ood_bench.home import Home

torch.set_num_threads(1)
home, identity = Home(Path(sys.argv[1])), Identity("m", None, "big", "a" * 64, "row", "x")
rows, d, piece = 50_000, 1024, 2_000
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
if sys.argv[2] == "write":
    writer = BankWriter(home, identity, kind_of_labels="ood", head=None, rows_per_shard=int(sys.argv[3]))
    block = torch.zeros(piece, d)
    before = peak()
    for start in range(0, rows, piece):
        writer.add([str(row) for row in range(start, start + piece)], {"features": block})
    writer.finish()
else:
    bank = open_bank(identity.folder(home))
    before, total, seen = peak(), 0.0, 0
    for first, batch in bank.batches(1000):
        assert first == seen
        seen += len(batch["features"])
        total += float(batch["features"].sum())
    assert (seen, total) == (rows, 0.0)
print(peak() - before)
"""


def test_a_bank_larger_than_memory_streams(tmp_path: Path) -> None:
    """200 MB in shards of 40 MB: writing holds a few shards, reading a few batches of 4 MB, whatever the shards' size."""

    def grown(*arguments: str) -> int:
        command = [sys.executable, "-c", STREAM, str(tmp_path / "home"), *arguments]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    written = grown("write", "10000")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) > 200e6
    assert written < 160e6
    assert grown("read") < 40e6
