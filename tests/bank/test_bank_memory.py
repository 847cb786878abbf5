from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ood_bench.bank.base import Bank
from ood_bench.bank.manifest import Identity, Manifest
from ood_bench.bank.memory import MemoryBank
from ood_bench.bank.reader import open_bank
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.types import Head

Rows = dict[str, Tensor]


def test_arrays_and_tensors_make_the_same_bank(rows: Rows, head: Head) -> None:
    bank: Bank = MemoryBank.of("digits", **rows, head=head)
    same = MemoryBank.of("digits", **{name: tensor.numpy() for name, tensor in rows.items()}, head=head)
    assert bank.sha256 == same.sha256
    assert (bank.n, bank.n_features, bank.n_classes, bank.has_labels) == (50, 6, 4, True)
    assert bank.ids[:2] == ["0", "1"]
    assert bank.inputs == {"features", "logits", "labels"}
    assert bank.head_refused is None


def test_it_has_the_hash_of_the_same_bank_on_disk(
    where: Home, rows: Rows, head: Head, ids: list[str], write: Callable[..., Manifest]
) -> None:
    identity = Identity("net", 1, "digits", sha256_of_lines(ids), "source", "ten")
    stored = write(rows, identity=identity)
    bank = MemoryBank.of("digits", model="net", model_seed=1, label_space="ten", ids=ids, head=head, **rows)
    assert bank.sha256 == stored.bank_sha256 == open_bank(identity.folder(where)).sha256


def test_logits_that_are_not_given_follow(rows: Rows, head: Head) -> None:
    bank = MemoryBank.of("digits", features=rows["features"].double(), head=head)
    expected = rows["features"].double().numpy() @ head.weight.double().numpy().T + head.bias.double().numpy()
    assert bank.read("logits").dtype == torch.float64
    np.testing.assert_allclose(bank.read("logits").numpy(), expected, rtol=1e-12)
    assert bank.n_classes == 4
    assert not bank.has_labels
    assert bank.sha256 != MemoryBank.of("digits", features=rows["features"].double()).sha256  # the head is part of it


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_logits_of_members_alone_are_their_mean(dtype: torch.dtype) -> None:
    members = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    bank = MemoryBank.of("s", members=members)
    assert bank.n_classes == 4
    assert torch.equal(bank.read("logits"), (members.double().sum(dim=1) / 3).to(dtype))
    given_too = MemoryBank.of("s", members=members, logits=torch.zeros(50, 4, dtype=dtype))
    assert not bool(given_too.read("logits").any())


def test_features_and_head_come_before_members(rows: Rows, head: Head) -> None:
    members = torch.ones(50, 2, 4)
    bank = MemoryBank.of("s", features=rows["features"], members=members, head=head)
    assert torch.equal(bank.read("logits"), MemoryBank.of("s", features=rows["features"], head=head).read("logits"))
    assert torch.equal(MemoryBank.of("s", features=rows["features"], members=members).read("logits"), members[:, 0])


@given(batch=st.integers(1, 70))
def test_batches_are_the_rows_in_order(batch: int) -> None:
    logits = torch.arange(50 * 3).reshape(50, 3).double()
    parts = list(MemoryBank.of("s", logits=logits).batches(batch, ("logits",)))
    assert [first for first, _ in parts] == list(range(0, 50, batch))
    assert torch.equal(torch.cat([part["logits"] for _, part in parts]), logits)


def test_arrays_that_torch_does_not_take_as_they_are() -> None:
    logits = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::-1]
    logits.flags.writeable = False
    bank = MemoryBank.of("s", logits=logits, labels=np.array([0, 1, 2], dtype=np.uint8))
    assert bank.read("logits").tolist() == logits.tolist()
    assert bank.read("labels").dtype == torch.int64


BAD: list[tuple[dict[str, object], str]] = [
    ({"logits": np.zeros((0, 3))}, "at least one row, got none"),
    ({}, "needs `features` .*, `logits` .* or `members`"),
    ({"logits": np.zeros(3)}, r"`logits` should have shape \(n, K\), got \(3,\)"),
    ({"logits": np.zeros((3, 0))}, r"`logits` should have shape \(n, K\), got \(3, 0\)"),
    ({"logits": np.zeros((3, 2)), "labels": np.zeros((3, 1), int)}, r"`labels` should have shape \(n,\)"),
    ({"logits": np.zeros((3, 2)), "labels": np.zeros(2, int)}, "`labels` has 2 rows where there are 3 ids"),
    ({"logits": np.zeros((3, 2)), "ids": ["a", "b"]}, "`logits` has 3 rows where there are 2 ids"),
    ({"logits": np.zeros((3, 2), int)}, "`logits` should be floating point, got int64"),
    ({"logits": np.zeros((3, 2)), "labels": np.zeros(3)}, "`labels` should be integers, got float64"),
    ({"logits": np.zeros((3, 2)), "labels": np.zeros(3, bool)}, "`labels` should be integers, got bool"),
    ({"logits": np.zeros((3, 2)), "labels": np.array([0, 2, 1])}, r"in 0..1 .*got 2 at row 1 \(id '1'\).*--near"),
    ({"logits": np.zeros((3, 2)), "labels": np.array([0, 1, -1])}, r"in 0..1 .*got -1 at row 2"),
    ({"features": np.zeros((3, 2)), "labels": np.array([0, 1, -2])}, r"at least 0 .*got -2 at row 2"),
    ({"logits": np.array([[0, 1], [0, np.nan]])}, r"`logits` should be finite, but holds NaN at row 1 \(id '1'\)"),
    ({"features": np.array([[0, np.inf], [0, np.nan]])}, r"`features` .* holds an infinite value at row 0"),
    (
        {"logits": np.zeros((3, 5)), "head": Head(torch.ones(4, 6), torch.ones(4))},
        "K = 5 columns and the head has K = 4",
    ),
    ({"features": np.zeros((3, 5)), "head": Head(torch.ones(4, 6), torch.ones(4))}, "d = 5 .* head expects d = 6"),
    ({"logits": np.zeros((3, 2)), "members": np.zeros((3, 7, 4))}, "`members` has K = 4 .* logits have K = 2"),
    ({"logits": np.zeros((3, 2)), "abstain_index": 2}, "abstain_index should be a column of the logits, 0..1, got 2"),
    ({"logits": np.zeros((3, 2)), "abstain_index": -1}, "abstain_index should be .*, got -1"),
    ({"logits": np.zeros((3, 2)), "logit": np.zeros((3, 2))}, r"named 'logit' \(did you mean 'logits'"),
    ({"logits": np.zeros((1, 2)), "ids": ["a\nb"]}, r"an id is one line of UTF-8 text, got 'a\\nb' at row 0"),
    ({"logits": np.zeros((1, 2)), "ids": ["\ud800"]}, "an id is one line of UTF-8 text"),
    ({"logits": np.array([["a", "b"]])}, "should be numbers, got an array of dtype"),
    ({"logits": np.zeros((1, 2)), "constants": {"text_features": np.array([[np.nan]])}}, "`text_features` should be"),
    ({"logits": np.zeros((1, 2)), "constants": {"text": np.ones((1, 1))}}, "named 'text'"),
    (
        {"features": np.zeros((1, 1)), "head": Head(torch.tensor([[np.inf]]), torch.ones(1))},
        "the head's weight .* finite",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_bad_input_is_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        MemoryBank.of("s", **arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_derived_logits_that_overflow_are_refused() -> None:
    features = torch.full((2, 3), 6e4, dtype=torch.float16)
    with pytest.raises(RequestError, match="logits derived from features and head overflow float16"):
        MemoryBank.of("s", features=features, head=Head(torch.ones(2, 3), torch.zeros(2)))


def test_a_head_that_does_not_give_the_logits_is_refused_with_a_reason(rows: Rows, head: Head) -> None:
    bank = MemoryBank.of("s", features=rows["features"], logits=rows["logits"].tanh(), head=head)
    assert "does not reproduce the logits" in (bank.head_refused or "")


def test_what_it_lacks_is_said(rows: Rows) -> None:
    bank = MemoryBank.of("s", logits=rows["logits"])
    with pytest.raises(RequestError, match="memory on s has no `features`; it has labels, logits"):
        bank.read("features")
    with pytest.raises(RequestError, match="got rows=-1"):
        next(bank.batches(-1))
