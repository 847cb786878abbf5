"""Runs a backbone over batches of images: features, logits, and whether its head gives the logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ood_bench.backbones.backbone import Backbone
from ood_bench.backbones.head import Cut, features_of, find_cut, layers_of, logits_of, recorded
from ood_bench.errors import RequestError

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class How:
    """How to compute. `precision` other than fp32 is mixed precision; it is part of a bank's identity."""

    device: torch.device
    precision: Precision = "fp32"
    channels_last: bool | None = None  # None: on a GPU

    @property
    def layout(self) -> torch.memory_format:
        wanted = self.device.type == "cuda" if self.channels_last is None else self.channels_last
        return torch.channels_last if wanted else torch.contiguous_format


class Runner:
    """A backbone on a device, cut into features and head. Call it with images; it gives what a bank stores."""

    def __init__(self, module: nn.Module, how: How, cut: Cut | None) -> None:
        self._module, self._how, self._cut = module.to(how.device).to(memory_format=how.layout), how, cut
        self._layers = {} if cut is None else layers_of(module, cut.layers)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Mapping[str, Tensor]:
        given = images.to(self._how.device, non_blocking=True).contiguous(memory_format=self._how.layout)
        with ExitStack() as stack:
            stack.enter_context(self._autocast())
            inputs = stack.enter_context(recorded(self._layers))
            output = self._module(given)
            if self._cut is None:
                return {"features": logits_of(output).float().cpu()}
            found = {"logits": logits_of(output).float()}
            if self._layers:
                found["features"] = features_of(self._layers, inputs).float()
        return {name: tensor.cpu() for name, tensor in found.items()}

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = _AUTOCAST.get(self._how.precision)
        return nullcontext() if dtype is None else torch.autocast(self._how.device.type, dtype)


def cut_of(backbone: Backbone) -> Cut | None:
    """Where the backbone is cut, looked for on random images in float32 on the CPU; None where it makes features only."""
    if backbone.makes == "features":
        return None
    try:
        return find_cut(backbone.module, backbone.example())
    except (RuntimeError, TypeError, ValueError) as error:
        raise RequestError(
            f"{backbone.name} cannot be run on images of {backbone.transform.size}x{backbone.transform.size}: "
            f"{str(error).strip().splitlines()[0]}; another size is given with --image-size"
        ) from error


@contextmanager
def repeatable() -> Iterator[None]:
    """The same numbers for the same images: no search for the fastest kernel, no reduced precision behind our back."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = False, True, False, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before
