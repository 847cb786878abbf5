"""The last layer out of a file: W and b under the names people give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ood_bench.bank.heads import check_head
from ood_bench.errors import RequestError
from ood_bench.importing.foreign import read_arrays
from ood_bench.importing.layout import Layout
from ood_bench.types import Head

WEIGHTS = ("W", "weight", "w")
BIASES = ("b", "bias")


def find_head(layout: Layout, given: Path | None) -> Head | None:
    """The head in the file the user named, else in the folder's head.* or fc.*, else None."""
    if given is not None:
        inside = layout.directory / given
        return read_head_file(inside if inside.is_file() else given)
    if len(layout.heads) > 1:
        names = ", ".join(path.name for path in layout.heads)
        raise RequestError(
            f"{layout.directory} has {len(layout.heads)} files that may be the head: {names}; pass --head"
        )
    return read_head_file(layout.heads[0]) if layout.heads else None


def read_head_file(path: Path) -> Head:
    """The weight (K, d) and bias (K,) in a file: named, as a pair, or the one linear layer of a state dict."""
    weight, bias = _pair(path, read_arrays(path))
    shapes = f"got W {weight.shape} {weight.dtype} and b {bias.shape} {bias.dtype}"
    if weight.ndim != 2 or bias.ndim != 1 or weight.dtype.kind != "f" or bias.dtype.kind != "f":
        raise RequestError(f"{path}: the head should be floating-point W (K, d) and b (K,), {shapes}; save it so")
    if len(weight) != len(bias):
        remedy = "transpose W" if weight.shape[1] == len(bias) else "export both from the same layer"
        raise RequestError(f"{path}: W should be (K, d) with b (K,), {shapes}; {remedy}")
    try:
        return check_head(
            Head(*(torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) for array in (weight, bias)))
        )
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error


def _pair(path: Path, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    weight = next((arrays[name] for name in WEIGHTS if name in arrays), None)
    bias = next((arrays[name] for name in BIASES if name in arrays), None)
    if weight is not None and bias is not None:
        return weight, bias
    if set(arrays) == {"0", "1"}:
        return arrays["0"], arrays["1"]
    layers = [
        name.removesuffix(".weight")
        for name, array in arrays.items()
        if name.endswith(".weight") and array.ndim == 2 and f"{name.removesuffix('.weight')}.bias" in arrays
    ]
    if len(layers) == 1:
        return arrays[f"{layers[0]}.weight"], arrays[f"{layers[0]}.bias"]
    if layers:
        raise RequestError(
            f"{path} has {len(layers)} linear layers ({', '.join(layers)}); save the last one as W and b"
        )
    held = ", ".join(repr(name) for name in list(arrays)[:8]) or "no arrays"
    raise RequestError(
        f"{path} should hold the head as W (K, d) and b (K,), but holds {held}; without a bias, b is zeros"
    )
