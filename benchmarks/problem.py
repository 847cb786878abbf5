"""Tensors the size of ImageNet's, made from a seed: clustered features through a ReLU, a head that errs on some rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning
from ood_bench.requirements import describe
from ood_bench.types import Head, Info


@dataclass(frozen=True)
class Size:
    n_fit: int
    n: int
    d: int = 2048
    k: int = 1000


SIZES = {
    "tiny": Size(2_000, 500, 128, 50),
    "small": Size(20_000, 5_000),
    "medium": Size(200_000, 50_000),
    "large": Size(1_281_167, 130_000),
}
IN_MEMORY = ("tiny", "small")  # the others are written to disk and streamed


@dataclass(frozen=True)
class World:
    """What rows are drawn from: class centres and a head that reads them through noise."""

    size: Size

    @cached_property
    def centres(self) -> Tensor:
        return torch.randn(self.size.k, self.size.d, generator=torch.Generator().manual_seed(0))

    @cached_property
    def head(self) -> Head:
        generator = torch.Generator().manual_seed(1)
        noise = torch.randn(self.size.k, self.size.d, generator=generator)
        weight = 6 / self.size.d**0.5 * (0.18 * self.centres + 0.82 * noise)
        return Head(weight, 0.1 * torch.randn(self.size.k, generator=generator))

    def rows(self, n: int, seed: int, *, outliers: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Features, logits, labels."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, self.size.k, (n,), generator=generator)
        noise = torch.randn(n, self.size.d, generator=generator)
        features = noise.add_(self.centres[labels], alpha=0.3 if outliers else 0.6).relu_()
        return features, self.head.logits(features), labels


@dataclass(frozen=True, eq=False)
class Problem:
    """Banks in memory: fit and val with labels, and the set that is scored."""

    size: Size
    head: Head
    fit: MemoryBank
    val: MemoryBank
    test: MemoryBank

    @classmethod
    def of(cls, size: Size) -> Problem:
        world = World(size)
        banks = []
        for seed, (name, n) in enumerate((("fit", size.n_fit), ("val", size.n), ("test", size.n))):
            features, logits, labels = world.rows(n, seed)
            banks.append(MemoryBank.of(name, features=features, logits=logits, labels=labels, head=world.head))
        return cls(size, world.head, *banks)

    @property
    def learning(self) -> Learning:
        return Learning(self.head, self.fit, self.val)

    @property
    def info(self) -> Info:
        return describe(self.learning, [self.test])
