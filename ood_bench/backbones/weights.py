"""Files of weights: read without unpickling anything, and known by their hash."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ood_bench.bank.content import info_of
from ood_bench.canonical import sha256_of, sha256_of_file
from ood_bench.errors import IntegrityError, RequestError

_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
_PREFIXES = ("module.", "_orig_mod.")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name. `.pt` and its kin are read with `weights_only=True`."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        SafetensorError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        raise RequestError(
            f"the weights at {path} cannot be read as plain tensors ({_first_line(error)}); "
            "save the state dict alone, best as .safetensors"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RequestError(f"the weights at {path} should be a state dict of tensors, got {type(state).__name__}")
    return {_plain(name): value for name, value in state.items()}


def load_into(model: nn.Module, path: Path) -> None:
    """Put a checkpoint into the model; every tensor must fit."""
    state = read_state(path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise RequestError(
            f"the weights at {path} do not fit {type(model).__name__}: {_first_line(error, 3)}; "
            "name the architecture that they were made with"
        ) from error


def check_file(path: Path, sha256: str | None) -> None:
    """Raise IntegrityError where the file has not the hash that is expected; `sha256` may be a beginning of it."""
    if sha256 is not None and not (found := sha256_of_file(path)).startswith(sha256):
        raise IntegrityError(
            f"{path} should have sha256 {sha256[:16]}..., got {found[:16]}...; remove the file and get it again"
        )


def weights_sha256(model: nn.Module) -> str:
    """Hash of every parameter and buffer by name: the same network gives the same, from whatever file it came."""
    infos = {name: info_of(tensor) for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    return sha256_of({name: [info.dtype, list(info.shape), info.sha256] for name, info in infos.items()})


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _first_line(error: BaseException, lines: int = 1) -> str:
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:lines] if line.strip())
