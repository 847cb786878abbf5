"""`digits-cnn`: a small convolutional network for 8x8 images, trained on the spot from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from ood_bench.types import Head

WIDTH = 64  # of the features
EPOCHS = 15
BATCH = 20
LEARNING_RATE = 0.05
MOMENTUM = 0.9


@dataclass(frozen=True, eq=False)
class Network:
    """Three convolutions with a pooling between; the features are the last maps' means, and a linear head reads them."""

    weights: Mapping[str, Tensor]

    def features(self, images: Float[Tensor, "n 8 8"]) -> Float[Tensor, "n d"]:
        """What the head reads: never negative, because a ReLU comes before the mean."""
        maps = self._convolve("first", images[:, None])
        maps = functional.max_pool2d(self._convolve("second", maps), 2)
        return self._convolve("third", maps).mean(dim=(2, 3))

    def logits(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n K"]:
        return functional.linear(features, self.weights["head.weight"], self.weights["head.bias"])

    @property
    def head(self) -> Head:
        return Head(self.weights["head.weight"], self.weights["head.bias"])

    def _convolve(self, layer: str, maps: Tensor) -> Tensor:
        weight, bias = self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"]
        return functional.relu(functional.conv2d(maps, weight, bias, padding=1))


def shapes(n_classes: int) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight."""
    kernels = {"first": (16, 1, 3, 3), "second": (32, 16, 3, 3), "third": (WIDTH, 32, 3, 3), "head": (n_classes, WIDTH)}
    return {
        f"{layer}.{kind}": shape if kind == "weight" else shape[:1]
        for layer, shape in kernels.items()
        for kind in ("weight", "bias")
    }


def train(images: Float[Tensor, "n 8 8"], labels: Int64[Tensor, " n"], n_classes: int, seed: int) -> Network:
    """A network trained on the images.

    Everything random comes from `seed`; the global generators are not touched. The same machine gives the same weights
    bit for bit, another one nearly the same.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {name: _initial(shape, generator) for name, shape in shapes(n_classes).items()}
    speed = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    steps = EPOCHS * math.ceil(len(images) / BATCH)
    with one_thread():
        for step, rows in enumerate(_batches(len(images), generator)):
            rate = LEARNING_RATE * (1 - step / steps)
            for name, slope in _slopes(weights, images[rows], labels[rows]).items():
                # momentum by hand: the first use of torch.optim loads the compiler, which takes longer than the training
                speed[name].mul_(MOMENTUM).add_(slope)
                weights[name].sub_(rate * speed[name])
    return Network(weights)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: the results do not depend on how many there are, and work this small is quickest so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _initial(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """He's initialisation in its uniform form for weights, zero for biases."""
    if len(shape) == 1:
        return torch.zeros(shape)
    bound = math.sqrt(6 / math.prod(shape[1:]))
    return bound * (2 * torch.rand(shape, generator=generator) - 1)


def _batches(n: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of each batch, every epoch in a new order."""
    for _ in range(EPOCHS):
        yield from torch.tensor_split(torch.randperm(n, generator=generator), math.ceil(n / BATCH))


def _slopes(weights: Mapping[str, Tensor], images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The gradient of the mean cross entropy with respect to each weight."""
    with torch.enable_grad():
        network = Network({name: weight.detach().requires_grad_() for name, weight in weights.items()})
        loss = functional.cross_entropy(network.logits(network.features(images)), labels)
        return dict(zip(weights, torch.autograd.grad(loss, list(network.weights.values())), strict=True))
