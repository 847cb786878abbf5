"""Images that are no files of their own: rows of a NumPy array, torchvision's and Hugging Face's data sets."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ood_bench.errors import RequestError
from ood_bench.extraction.listing import ImageList

READERS = ("torchvision", "hf", "npy")
_SEPARATOR = "\x1f"  # between the parts of a place; in no path that a user would write


def reader_of(images: str) -> str:
    """`torchvision`, `hf` or `npy` where the images are read by one of these; empty for files."""
    head = images.partition(":")[0]
    return head if head in READERS and ":" in images else ""


def list_reader(name: str, images: str, data_root: Path) -> ImageList:
    """The list of `npy:FILE:FIRST:STOP`, `torchvision:NAME:SPLIT` or `hf:NAME:SPLIT`. Raises RequestError."""
    reader = reader_of(images)
    rest = images.partition(":")[2]
    if reader == "npy":
        return _npy_list(name, rest, data_root)
    source, _, split = rest.partition(":")
    split = split or "test"
    rows: Any = (
        _torchvision(str(data_root), source, split) if reader == "torchvision" else _hf(str(data_root), source, split)
    )
    labels = _labels(rows)
    ids = tuple(f"{source}/{split}/{row:06d}" for row in range(len(rows)))
    places = [_SEPARATOR.join((reader, str(data_root), source, split, str(row))) for row in range(len(rows))]
    return ImageList(name, ids, places, labels)


def open_image(place: str) -> Image.Image:
    """The image at a place of a list; whatever is wrong with it surfaces when it is converted."""
    if _SEPARATOR not in place:
        return Image.open(place)
    reader, *parts, row = place.split(_SEPARATOR)
    if reader == "npy":
        return Image.fromarray(np.ascontiguousarray(_array(parts[0])[int(row)]))
    item = (_torchvision if reader == "torchvision" else _hf)(parts[0], parts[1], parts[2])[int(row)]
    image = item[_image_column(item)] if isinstance(item, dict) else item[0]
    assert isinstance(image, Image.Image)
    return image


def fetch_torchvision(source: str, split: str, data_root: Path) -> None:
    """Let torchvision download one of its data sets into the data root."""
    _make_torchvision(str(data_root), source, split, download=True)


def _npy_list(name: str, rest: str, data_root: Path) -> ImageList:
    file, first, stop = [*rest.split(":"), "", ""][:3]
    path = data_root / file
    if not path.is_file():
        raise RequestError(f"set {name!r}: an array of images is expected at {path}, but there is no such file")
    array, labels_at = _array(str(path)), path.with_name("labels.npy")
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise RequestError(
            f"set {name!r}: {path} should hold uint8 images (n, h, w, 3), got {array.dtype} {array.shape}"
        )
    begin, end = int(first or 0), int(stop or len(array))
    if not 0 <= begin < end <= len(array):
        raise RequestError(f"set {name!r}: rows {begin} to {end} are asked of {path}, which has {len(array)}")
    labels = np.load(labels_at, allow_pickle=False) if labels_at.is_file() else None
    rows = range(begin, end)
    return ImageList(
        name,
        tuple(f"{Path(file).stem}/{row:06d}" for row in rows),
        [_SEPARATOR.join(("npy", str(path), str(row))) for row in rows],
        None if labels is None else tuple(int(labels[row]) for row in rows),
    )


@cache
def _array(path: str) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


@cache
def _torchvision(data_root: str, source: str, split: str) -> Any:
    return _make_torchvision(data_root, source, split, download=False)


def _make_torchvision(data_root: str, source: str, split: str, *, download: bool) -> Any:
    kind = getattr(import_module("torchvision.datasets"), source, None)
    if not inspect.isclass(kind) or "root" not in (known := inspect.signature(kind).parameters):
        raise RequestError(f"torchvision has no image data set {source!r}; its names are such as CIFAR10, SVHN, DTD")
    options: dict[str, Any] = {"root": data_root}
    if "train" in known:
        options["train"] = split == "train"
    elif "split" in known:
        options["split"] = split
    elif "background" in known:
        options["background"] = split == "train"
    if "download" in known:
        options["download"] = download
    try:
        return kind(**options)
    except (RuntimeError, OSError, ValueError) as error:
        raise RequestError(
            f"torchvision's {source} ({split}) cannot be read from {data_root}: {str(error).strip().splitlines()[0]}; "
            "ood-bench datasets get fetches it where torchvision can"
        ) from error


@cache
def _hf(data_root: str, source: str, split: str) -> Any:
    try:
        library = import_module("datasets")
        loaders = library.load_from_disk, library.load_dataset
    except (ImportError, AttributeError) as error:
        raise RequestError("hf: needs the package `datasets`, which is not installed; pip install datasets") from error
    local = Path(data_root) / source
    try:
        return loaders[0](str(local))[split] if local.is_dir() else loaders[1](source, split=split)
    except Exception as error:  # the library's own errors, network included
        words = str(error).strip().splitlines()
        raise RequestError(
            f"hf:{source}:{split} cannot be read ({words[0] if words else type(error).__name__})"
        ) from error


def _labels(rows: Any) -> tuple[int, ...] | None:
    if hasattr(rows, "column_names"):
        found: Sequence[Any] | None = rows["label"] if "label" in rows.column_names else None
    else:
        found = next((getattr(rows, name) for name in ("targets", "labels", "_labels") if hasattr(rows, name)), None)
    return None if found is None else tuple(int(label) for label in found)


def _image_column(item: dict[str, Any]) -> str:
    return next(name for name, value in item.items() if isinstance(value, Image.Image))
