"""Tensors as bytes: their names of dtypes, and hashes that do not depend on how rows were cut."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ood_bench.bank.manifest import TensorInfo

StorageName = Literal["fp32", "fp16", "bf16"]
STORAGE: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)
}


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for torch.float32, and so on: the word in the manifest."""
    return str(dtype).removeprefix("torch.")


def dtype_of(name: str) -> torch.dtype:
    """The dtype that the manifest's word means."""
    return _DTYPES[name]


def bytes_of(tensor: Tensor) -> memoryview:
    """The tensor's memory, without a copy where it is contiguous on the CPU; writing to it writes the tensor."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


class ContentHash:
    """Running hashes of the tensors of a bank, fed with rows in order."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[str, tuple[int, ...], hashlib._Hash]] = {}

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            new = (dtype_name(tensor.dtype), tuple(tensor.shape[1:]), hashlib.sha256())
            self._running.setdefault(name, new)[2].update(bytes_of(tensor))

    def infos(self) -> dict[str, TensorInfo]:
        return {
            name: TensorInfo(dtype, shape, digest.hexdigest())
            for name, (dtype, shape, digest) in sorted(self._running.items())
        }


def info_of(tensor: Tensor) -> TensorInfo:
    """The info of a tensor that is not per row; its shape is whole."""
    return TensorInfo(dtype_name(tensor.dtype), tuple(tensor.shape), hashlib.sha256(bytes_of(tensor)).hexdigest())
