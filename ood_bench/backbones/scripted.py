"""Programs instead of modules: TorchScript and exported programs, with a head that is named."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from ood_bench.backbones.head import logits_of
from ood_bench.errors import RequestError


class Finished(nn.Module):
    """A program is in evaluation mode for good, and some raise when they are told to be."""

    inner: nn.Module

    def train(self, mode: bool = True) -> Finished:  # Self cannot be checked at run time
        self.training = mode
        return self


class Program(Finished):
    """A program as a classifier whose last layer is a module of its own, so that it is cut like any other network.

    Hooks do not fire inside a program. So its head is replaced by the identity, whereby the program gives the features,
    and the layer that was there is applied to them. `inner` must end in that layer; the caller checks that it does.
    """

    def __init__(self, inner: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.inner = inner
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        with torch.no_grad():
            self.head.weight.copy_(weight)
            if bias is not None:
                self.head.bias.copy_(bias)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(logits_of(self.inner(images)))
        return logits


class Whole(Finished):
    """A program without a named head: its logits and nothing else."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.inner(images))


def open_program(path: Path, head: str, example: Tensor) -> nn.Module:
    """The classifier in a file of `torch.jit.save` or `torch.export.save`; `head` names its last linear layer.

    The program runs as it is: open only files that you trust. `example` is one batch of images in its size.
    """
    if not path.is_file():
        raise RequestError(
            f"a TorchScript file or an exported program is expected at {path}, but there is no such file"
        )
    inner = _load(path)
    if not head:
        return Whole(inner)
    parameters = dict(inner.named_parameters())
    weight, bias = parameters.get(f"{head}.weight"), parameters.get(f"{head}.bias")
    if weight is None or weight.ndim != 2:
        linear = sorted(
            name.removesuffix(".weight")
            for name, one in parameters.items()
            if name.endswith(".weight") and one.ndim == 2
        )
        raise RequestError(
            f"{path} has no linear layer {head!r} to be the head; its linear layers are: {', '.join(linear)}"
        )
    with torch.no_grad():
        before = logits_of(inner(example)).clone()
        kept = weight.detach().clone(), None if bias is None else bias.detach().clone()
        weight.data = torch.eye(weight.shape[1], dtype=weight.dtype)
        if bias is not None:
            bias.data = torch.zeros(weight.shape[1], dtype=bias.dtype)
        whole = Program(inner, *kept)
        try:
            after = whole(example)
        except RuntimeError:  # the layer stands in the middle: what follows it does not take its input
            after = before[:0]
    if before.shape != after.shape or not torch.allclose(before, after, rtol=1e-4, atol=1e-4):
        raise RequestError(f"{path}: the layer {head!r} does not make the logits; name the last linear layer, or none")
    return whole


def _load(path: Path) -> nn.Module:
    try:
        with zipfile.ZipFile(path) as archive:
            scripted = any(name.endswith("/constants.pkl") or name == "constants.pkl" for name in archive.namelist())
        if scripted:
            program: nn.Module = torch.jit.load(str(path), map_location="cpu")
            return program.eval()
        return torch.export.load(path).module()
    except (OSError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"{path} should be a file of torch.jit.save or torch.export.save, but it cannot be read "
            f"({str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__})"
        ) from error
