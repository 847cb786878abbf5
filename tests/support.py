"""Small problems for scorer tests, and the shortest way from arrays to scores: the engine itself, on banks in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning, fit_all, score_bank
from ood_bench.fitting import Fitted
from ood_bench.registry import load_all
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream
from ood_bench.types import Head

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Problem:
    """A head and sets of (features, logits, labels) in float64: `fit` and `val` ID with labels, `test` ID, `ood`."""

    weight: np.ndarray
    bias: np.ndarray
    sets: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    extras: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def head(self) -> Head:
        return Head(torch.from_numpy(self.weight), torch.from_numpy(self.bias))

    def features(self, name: str) -> np.ndarray:
        return self.sets[name][0]

    def logits(self, name: str) -> np.ndarray:
        return self.sets[name][1]

    def labels(self, name: str) -> np.ndarray:
        return self.sets[name][2]

    def bank(self, name: str, dtype: torch.dtype = torch.float64) -> MemoryBank:
        features, logits, labels = (torch.from_numpy(array) for array in self.sets[name])
        return MemoryBank.of(
            name,
            model="toy",
            features=features.to(dtype),
            logits=logits.to(dtype),
            labels=labels,
            head=Head(self.head.weight.to(dtype), self.head.bias.to(dtype)),
        )


def problem(seed: int = 0, *, d: int = 24, k: int = 7, n_fit: int = 400, n: int = 60, relu: bool = True) -> Problem:
    """Gaussian classes (through a ReLU), a head that reads them with some errors, and outliers of another shape."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0.4, 1.0, (k, d))
    weight = centres - centres.mean(axis=0) + rng.normal(0, 0.05, (k, d))
    bias = rng.normal(0, 0.1, k)

    def ident(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = rng.integers(0, k, count)
        features = centres[labels] + rng.normal(0, 0.9, (count, d))
        features = np.maximum(features, 0) if relu else features
        return features, features @ weight.T + bias, labels

    ood = rng.normal(0.5, 0.7, (n, d))
    ood = np.maximum(ood, 0) if relu else ood
    sets = {"fit": ident(n_fit), "val": ident(200), "test": ident(n)}
    sets["ood"] = (ood, ood @ weight.T + bias, np.full(n, -1))
    return Problem(weight, bias, sets)


def fitted(spec: str, given: Problem, *, dtype: torch.dtype = torch.float64, rows: int | None = None) -> Fitted:
    """The fitted scorer; raises AssertionError with the reason where it refuses."""
    load_all()
    learning = Learning(given.head, given.bank("fit", dtype), given.bank("val", dtype))
    info = describe(learning, [given.bank("test", dtype)])
    resolved = parse_spec(spec).resolved(info)
    fits = fit_all([resolved], learning, info, Stream(CPU, 1 << 30, rows))
    assert not fits.refused, fits.refused[resolved].reason
    return fits.fitted[resolved]


def score(
    spec: str, given: Problem, name: str = "test", *, dtype: torch.dtype = torch.float64, rows: int | None = None
) -> np.ndarray:
    """Scores of one set by one scorer, through the engine, in batches of `rows`."""
    one = fitted(spec, given, dtype=dtype, rows=rows)
    learning = Learning(given.head, given.bank("fit", dtype), given.bank("val", dtype))
    info = describe(learning, [given.bank(name, dtype)])
    done = score_bank([one], given.bank(name, dtype), learning, info, Stream(CPU, 1 << 30, rows))
    assert not done.refused, done.refused[one.spec].reason
    return np.asarray(done.scores[one.spec].values)
