"""A backbone that is ready to be run: the network, its transform, and what a bank's identity says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

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


def randomise(model: nn.Module, seed: int) -> None:
    """Fill what a network starts with as zeros: a zero head would make every image alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if (parameter.ndim > 1 or name.endswith("bias")) and not bool(parameter.any()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
