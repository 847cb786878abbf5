"""What a peer's method is to the benchmark: how it learns, how it scores rows, and which scorer of ours is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.problem import Problem

CHECKOUT = "OPENOOD_CHECKOUT"  # environment variable with the path of a checkout of OpenOOD


@dataclass(frozen=True)
class Tensors:
    """The same tensors for everyone: fit and scored rows of features and logits, labels, and the head."""

    fit_features: Tensor
    fit_logits: Tensor
    fit_labels: Tensor
    features: Tensor
    logits: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, problem: Problem) -> Tensors:
        fit, test = problem.fit.tensors, problem.test.tensors
        head = problem.head
        return cls(
            fit["features"], fit["logits"], fit["labels"], test["features"], test["logits"], head.weight, head.bias
        )

    def save(self, path: Path) -> None:
        save_file({name: tensor.contiguous() for name, tensor in vars(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> Tensors:
        return cls(**load_file(path))


@dataclass(frozen=True)
class Method:
    """`ours` is the spec with the same formula; `sign` turns the peer's scores into higher = more in-distribution."""

    ours: str
    score: Callable[[Tensors, slice], Tensor]
    fit: Callable[[Tensors], object] = field(default=lambda tensors: None)
    prepare: Callable[[], object] = field(default=lambda: None)  # imports, which are nobody's fit
    sign: int = 1
    rows: int = 1000  # per call of `score`


def linear(tensors: Tensors) -> torch.nn.Linear:
    """The head as a module."""
    layer = torch.nn.Linear(tensors.weight.shape[1], tensors.weight.shape[0])
    layer.weight.data, layer.bias.data = tensors.weight, tensors.bias
    return layer.requires_grad_(False)
