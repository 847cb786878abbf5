"""A backbone that is ready to be run: the network, its transform, and what a bank's identity says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ood_bench.backbones.presets import Preset
from ood_bench.backbones.transform import Transform

RANDOM = "random:"  # before any model's name: the same network with fresh weights, for trying things out


@dataclass(frozen=True, eq=False)
class Backbone:
    """`makes` is what calling `module` gives: logits, or features where the network has no head."""

    name: str
    seed: int | None
    module: nn.Module
    transform: Transform
    weights_sha256: str
    makes: Literal["logits", "features"] = "logits"
    prompts: str = ""  # zero-shot: what was asked, in words
    preset: Preset | None = None
    constants: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def preprocessing(self) -> str:
        """What the identity of a bank says of everything that happens before the head."""
        return f"{self.transform}; {self.prompts}" if self.prompts else str(self.transform)

    def example(self, rows: int = 2, seed: int = 0) -> Tensor:
        """Random images of the right size."""
        generator = torch.Generator().manual_seed(seed)
        shape = (rows, self.transform.channels, self.transform.size, self.transform.size)
        return torch.randn(shape, generator=generator)


@torch.no_grad()
def settle_norms(model: nn.Module, images: Tensor) -> None:
    """Let fresh batch norms see something soft: with their statistics at 0 and 1 a deep network forgets its input.

    Pictures are smooth, so the noise is blurred: statistics of sharp noise would let activations of pictures explode.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = None  # the average over what is seen, here one batch
        norm.reset_running_stats()
    side = images.shape[-1]
    model(nn.functional.interpolate(images[:, :, :6, :6], (side, side), mode="bicubic"))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        if norm.running_var is not None:  # a channel that this noise leaves asleep must not deafen the others later
            norm.running_var.clamp_(min=0.5 * float(norm.running_var.mean()))
        norm.eval()


def randomise(model: nn.Module, seed: int) -> None:
    """Fill what a network starts with as zeros: a zero head would make every image alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if (parameter.ndim > 1 or name.endswith("bias")) and not bool(parameter.any()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
