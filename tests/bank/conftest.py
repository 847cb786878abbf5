"""Small banks to write and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ood_bench.bank.manifest import Identity, Manifest
from ood_bench.bank.writer import BankWriter
from ood_bench.home import Home
from ood_bench.types import Head

N, D, K = 50, 6, 4
IDENTITY = Identity("net", 1, "digits", "a" * 64, "source", "ten", weights_sha256="b" * 64, preprocessing="resize 32")


@pytest.fixture
def where(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def head() -> Head:
    generator = torch.Generator().manual_seed(1)
    return Head(torch.randn(K, D, generator=generator), torch.randn(K, generator=generator))


@pytest.fixture
def rows(head: Head) -> dict[str, Tensor]:
    """Features, logits and labels of `N` rows."""
    features = torch.randn(N, D, generator=torch.Generator().manual_seed(2))
    return {"features": features, "logits": head.logits(features), "labels": torch.arange(N) % K}


@pytest.fixture
def ids() -> list[str]:
    return [f"image-{row}.png" for row in range(N)]


@pytest.fixture
def identity() -> Identity:
    return IDENTITY


@pytest.fixture
def write(where: Home, head: Head, ids: list[str]) -> Callable[..., Manifest]:
    """`write(rows, at_a_time=4, **options of BankWriter)` makes the bank and returns its manifest."""

    def _write(
        rows: dict[str, Tensor], *, at_a_time: int = 4, identity: Identity = IDENTITY, **options: Any
    ) -> Manifest:
        writer = BankWriter(where, identity, **({"kind_of_labels": "id", "head": head, "rows_per_shard": 7} | options))
        n = len(next(iter(rows.values())))
        for start in range(writer.rows_done, n, at_a_time):
            stop = min(n, start + at_a_time)
            writer.add(ids[start:stop], {name: tensor[start:stop] for name, tensor in rows.items()})
        return writer.finish()

    return _write
