"""Finds the features and the head of any classifier: the inputs of the innermost linear layers with K outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ood_bench.types import Head

Layer: TypeAlias = nn.Linear | nn.Conv2d
# of the largest logit, in float32: what rounding leaves is below 1e-6, and a head that is not linear is off by far more
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Cut:
    """Where a network is cut into features and head. `layers` are the hooked modules; empty where none was found."""

    layers: tuple[str, ...]
    head: Head | None  # what the layers amount to, also where they do not give the logits
    error: float | None  # largest |features @ W.T + b - logits| on the batch that was looked at
    largest: float  # the largest |logit| there
    reason: str | None  # why the head must not be used

    @property
    def usable(self) -> Head | None:
        return self.head if self.reason is None else None


@torch.no_grad()
def find_cut(model: nn.Module, images: Tensor) -> Cut:
    """The cut whose features and head give the logits of `images`, or the nearest to it and why it cannot be used.

    Tried in this order: all hooked layers together (a network with two heads averages them), then each alone, the last
    first.
    """
    layers: dict[str, Layer] = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)
    }
    with recorded(layers) as inputs:
        logits = logits_of(model(images))
    k = logits.shape[1]
    layers = {name: layer for name, layer in layers.items() if _outputs(layer) == k and name in inputs}
    names = [name for name in inputs if name in layers and len(pooled(layers[name], inputs[name])) == len(logits)]
    largest = float(logits.abs().max())
    choices = [tuple(names), *((name,) for name in reversed(names) if len(names) > 1)] if names else []
    cuts = []
    for chosen in choices:
        head = joined([layers[name] for name in chosen])
        features = torch.cat([pooled(layers[name], inputs[name]) for name in chosen], dim=1)
        error = float((head.double.logits(features.double().cpu()) - logits.double().cpu()).abs().max())
        if error <= TOLERANCE * max(largest, 1e-3):
            return Cut(chosen, head, error, largest, None)
        cuts.append((error, chosen, head))
    if not cuts:
        return Cut((), None, None, largest, f"no linear layer with {k} outputs makes the logits, so there is no head")
    error, chosen, head = min(cuts, key=lambda cut: cut[0])
    reason = (
        f"the head is not linear: features @ W.T + b of {' + '.join(chosen)} is off by up to {error:.3g} "
        f"where the largest logit is {largest:.3g}"
    )
    return Cut(chosen, head, error, largest, reason)


@contextmanager
def recorded(layers: dict[str, Layer]) -> Iterator[dict[str, Tensor]]:
    """The input of each layer in the latest forward pass, in the order in which they are called."""
    seen: dict[str, Tensor] = {}

    def hook(name: str) -> object:
        def record(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            seen.pop(name, None)
            seen[name] = arguments[0]

        return layers[name].register_forward_pre_hook(record)

    handles = [hook(name) for name in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]  # torch's handle


def features_of(layers: dict[str, Layer], inputs: dict[str, Tensor]) -> Tensor:
    """The features (n, d) out of what the layers of a cut were given."""
    return torch.cat([pooled(layers[name], inputs[name]) for name in layers], dim=1)


def layers_of(model: nn.Module, names: Sequence[str]) -> dict[str, Layer]:
    """The hooked modules by name."""
    found = {name: model.get_submodule(name) for name in names}
    return {name: module for name, module in found.items() if isinstance(module, nn.Linear | nn.Conv2d)}


def pooled(layer: Layer, given: Tensor) -> Tensor:
    """One row for each image: a linear layer over positions followed by their mean is the layer of the mean."""
    if isinstance(layer, nn.Conv2d):
        return given.flatten(2).mean(dim=2) if given.ndim > 2 else given
    return given.flatten(1, -2).mean(dim=1) if given.ndim > 2 else given


def joined(layers: Sequence[Layer]) -> Head:
    """The one head that averages all of them over their concatenated inputs."""
    count = len(layers)
    weights = [layer.weight.detach().float().flatten(1).cpu() for layer in layers]
    biases = [
        torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach().float().cpu()
        for layer, weight in zip(layers, weights, strict=True)
    ]
    return Head((torch.cat(weights, dim=1) / count).contiguous(), torch.stack(biases).mean(dim=0))


def logits_of(output: object) -> Tensor:
    """The logits out of what a network returns: a tensor, the first of a tuple, or `logits` of a dict or object."""
    if isinstance(output, dict):
        output = output.get("logits", output.get("out"))
    elif not isinstance(output, Tensor) and hasattr(output, "logits"):
        output = output.logits
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(f"a classifier should return logits (n, K), got {shape}; wrap it in a module that does")
    return output


def _outputs(layer: Layer) -> int:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if layer.kernel_size == (1, 1) and layer.groups == 1 else -1
