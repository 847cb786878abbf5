"""Two banks of one set: equal, a little apart, too far apart, other rows."""

from __future__ import annotations

import re

import pytest
import torch

from ood_bench.bank.difference import difference
from ood_bench.bank.memory import MemoryBank

FEATURES = torch.arange(12, dtype=torch.float32).reshape(4, 3)
LABELS = torch.tensor([0, 1, 2, 0])


def bank(features: torch.Tensor = FEATURES, labels: torch.Tensor = LABELS, ids: str = "abcd") -> MemoryBank:
    n = len(features)
    return MemoryBank.of(
        "set", features=features, logits=torch.eye(3).repeat(2, 1)[:n], labels=labels[:n], ids=list(ids)[:n]
    )


def test_equal_banks_and_banks_within_the_tolerance_agree() -> None:
    assert difference(bank(), bank()) == []
    assert difference(bank(FEATURES + 1e-4), bank()) == []  # 1e-5 of the largest feature, 11


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (bank(FEATURES + 0.01), "features differs by up to 0.01"),
        (bank(labels=torch.tensor([0, 1, 2, 1])), "labels differs by up to 1"),
        (bank(ids="abdc"), "other ids, or another order"),
        (bank(FEATURES[:3]), "other rows: 3 against 4"),
        (bank(torch.cat([FEATURES, FEATURES], dim=1)), r"features has shape \(6,\) against \(3,\) per row"),
    ],
)
def test_what_differs_is_named(other: MemoryBank, said: str) -> None:
    (sentence,) = difference(other, bank())
    assert re.search(said, sentence)
