"""Arrays out of files that other programs wrote, read so that nothing in a file can run."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from ood_bench.errors import RequestError

SUFFIXES = (".npz", ".npy", ".pt", ".pth", ".safetensors", ".pkl", ".pickle")
BARE = ""  # the name of the one array of a file that gives it none

# What NumPy's own pickles ask for: the reconstructors of arrays and scalars, and the two types they rebuild.
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_RECONSTRUCTORS = frozenset({"_reconstruct", "scalar", "_frombuffer"})
_TYPES = frozenset({"ndarray", "dtype"})


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file by name.

    A bare array is named BARE, the items of a tuple or list "0", "1", ..., those of nested tables "outer.inner". What
    is neither an array, a number nor a list of texts or numbers is left out. Raises RequestError where the file is
    damaged, or where it would need anything but plain arrays to be built.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise RequestError(f"{path} should end in one of {', '.join(SUFFIXES)}; save the arrays as .npz")
    try:
        content = reader(path)
    except RequestError:
        raise
    # A damaged file surfaces as whatever its parser meets first (zip, zlib, pickle, struct, unicode, memory), so the
    # net is wide; the reason stays in the sentence and in the chained error.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(
            f"{path} should be a whole {path.suffix} file of arrays, but cannot be read: {reason}"
        ) from error
    arrays = dict(_flat(content, BARE))
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise RequestError(f"{path} holds Python objects in {name or 'its array'!r}; save plain numbers instead")
    return arrays


def _read_npz(path: Path) -> Mapping[str, Any]:
    # np.load leaves a file that it opened itself open when the archive is damaged
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        return {BARE: archive} if isinstance(archive, np.ndarray) else {name: archive[name] for name in archive.files}


def _read_npy(path: Path) -> Any:
    return np.load(path, allow_pickle=False)


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise _refusal(path, refused.group(1)) from error
        raise


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    return load_file(path)


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        # latin1 is what NumPy's documentation asks for to read arrays that Python 2 pickled
        return _ArrayUnpickler(file, path).load()


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".safetensors": _read_safetensors,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds NumPy arrays and scalars, and plain containers of them; refuses every other global by name."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if module in _NUMPY_MODULES and name in _RECONSTRUCTORS:
            return super().find_class(_present(module, name), name)
        if module == "numpy" and name in _TYPES:
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise _refusal(self._path, f"{module}.{name}")


def _present(module: str, name: str) -> str:
    """The module of this NumPy (1.x `core`, 2.x `_core`) that has the reconstructor."""
    kind = "numeric" if name == "_frombuffer" else "multiarray"
    if not module.endswith(kind):
        raise pickle.UnpicklingError(f"{module} has no {name}")
    return f"numpy._core.{kind}" if hasattr(np, "_core") else f"numpy.core.{kind}"


def _encode(*arguments: object) -> bytes:
    """`_codecs.encode` for the one use pickles make of it: bytes written as a text and its encoding."""
    match arguments:
        case (str(text), str(encoding)):
            return text.encode(encoding)
    raise pickle.UnpicklingError("_codecs.encode is called with something other than two texts")


def _refusal(path: Path, what: str) -> RequestError:
    return RequestError(
        f"{path} would need {what!r} to be built, and only plain NumPy arrays and tensors are; save its arrays as .npz"
    )


def _flat(content: Any, name: str) -> list[tuple[str, np.ndarray]]:
    if isinstance(content, torch.Tensor):
        # NumPy has no bfloat16; float32 holds it exactly
        plain = content.detach().float() if content.dtype == torch.bfloat16 else content.detach()
        return [(name, plain.contiguous().numpy())]
    if isinstance(content, np.ndarray | np.generic | int | float) and not isinstance(content, bool):
        return [(name, np.asarray(content))]
    if isinstance(content, Mapping):
        return [item for key, value in content.items() for item in _flat(value, f"{name}.{key}" if name else str(key))]
    if isinstance(content, list | tuple):
        if content and any(all(isinstance(item, kind) for item in content) for kind in (str, int, float)):
            return [(name, np.asarray(content))]
        return [item for i, value in enumerate(content) for item in _flat(value, f"{name}.{i}" if name else str(i))]
    return []
