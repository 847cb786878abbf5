from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ood_bench.bank.heads import head_error, head_sha256, read_head, why_refused, write_head
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.types import Head


def test_a_head_is_read_as_written(tmp_path: Path, head: Head) -> None:
    digest = write_head(tmp_path, head, "ten classes/ä")
    read = read_head(tmp_path)
    assert digest == head_sha256(head) == head_sha256(read)
    assert torch.equal(read.weight, head.weight)
    assert torch.equal(read.bias, head.bias)


def test_the_file_depends_on_the_head_alone(tmp_path: Path, head: Head) -> None:
    write_head(tmp_path / "a", head, "x")
    write_head(tmp_path / "b", Head(head.weight.T.contiguous().T, head.bias), "x")
    first, second = ((tmp_path / name / "head.safetensors").read_bytes() for name in "ab")
    assert first == second


def test_another_head_needs_replace(tmp_path: Path, head: Head) -> None:
    write_head(tmp_path, head, "x")
    write_head(tmp_path, head, "x")
    other = Head(head.weight, head.bias + 1)
    assert head_sha256(other) != head_sha256(head)
    with pytest.raises(RequestError, match=r"label space 'x' already has another head at .*--replace"):
        write_head(tmp_path, other, "x")
    write_head(tmp_path, other, "x", replace=True)
    assert torch.equal(read_head(tmp_path).bias, other.bias)


def test_absent_and_damaged_heads(tmp_path: Path, head: Head) -> None:
    with pytest.raises(RequestError, match=r"no head is stored at .*head.npz with W"):
        read_head(tmp_path)
    write_head(tmp_path, head, "x")
    path = tmp_path / "head.safetensors"
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-3])
    with pytest.raises(IntegrityError, match=r"cannot be read .*--replace"):
        read_head(tmp_path)
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="is not the one that was written"):
        read_head(tmp_path)


def test_the_error_of_a_head_is_the_largest(head: Head) -> None:
    features = torch.randn(5000, 6, generator=torch.Generator().manual_seed(0))
    logits = head.logits(features).double()
    logits[4000, 2] += 0.25
    error, scale = head_error(head, features, logits)
    assert error == pytest.approx(0.25, abs=1e-5)
    assert scale == pytest.approx(float(logits.abs().max()))
    assert why_refused((error, scale)) is not None
    assert why_refused((0.01 * scale, scale)) is why_refused(None) is None
