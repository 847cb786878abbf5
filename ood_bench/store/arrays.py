"""Arrays in safetensors files, written whole or not at all; nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ood_bench.errors import IntegrityError
from ood_bench.files import write_bytes


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays to `path` under their names; equal arrays give equal bytes."""
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    write_bytes(path, data, durable=False)  # scores and outcomes follow from the banks, and are hashed


def read_arrays(path: Path, names: tuple[str, ...], what: str) -> tuple[np.ndarray, ...]:
    """The named arrays of the file at `path`; `what` names it in the error when they cannot be had."""
    try:
        arrays: dict[str, np.ndarray] = load(path.read_bytes())
        return tuple(arrays[name] for name in names)
    except OSError as error:
        raise IntegrityError(f"{what} should be at {path}, but it cannot be read: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise IntegrityError(
            f"{what} should be a safetensors file with {', '.join(names)} at {path}, but it is damaged: {error}"
        ) from error
