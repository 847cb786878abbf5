"""What lies in a folder of tensors: which files make a set, which holds the head, and how the user refers to them.

A set `train` is one of
    train.npz, train.safetensors, train.pt      a file with the arrays by name; a bare array is its features
    train_features.npy, train_logits.npy, ...   one file for each array, in any of the formats
    train/features.npy, train/logits.npy, ...   likewise, in a folder of its own
in the folder itself or in a sub-folder of it. The head is head.* or fc.* in the folder itself; files of that name in a
sub-folder are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ood_bench.errors import RequestError
from ood_bench.importing.foreign import BARE, SUFFIXES, read_arrays
from ood_bench.naming import unknown

# the arrays that are taken from a file, and how many axes each has
ROW_ARRAYS = {"features": 2, "logits": 2, "labels": 1, "ids": 1, "members": 3, "local_features": 3}
CONSTANT_ARRAYS = {"text_features": 2, "negative_text_features": 2, "abstain_index": 0}
ARRAYS = ROW_ARRAYS | CONSTANT_ARRAYS
HEAD_STEMS = ("head", "fc")
_PART = re.compile(rf"(.+?)_({'|'.join(ARRAYS)})")


@dataclass(frozen=True, slots=True)
class Source:
    """The file or files that one set is read from; `parts` is empty where one file holds all arrays by name."""

    name: str
    place: Path  # the file, or what the names of the parts have in common
    parts: Mapping[str, Path]

    def __str__(self) -> str:
        return self.place.name

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in a fixed order."""
        return tuple(self.parts[name] for name in sorted(self.parts)) if self.parts else (self.place,)

    def read(self) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """The arrays that ood-bench knows, and the names of those that it leaves aside."""
        if self.parts:
            return {name: _only_array(path, name, self.name) for name, path in self.parts.items()}, ()
        arrays = read_arrays(self.place)
        if set(arrays) == {BARE}:
            return {"features": arrays[BARE]}, ()
        return (
            {name: array for name, array in arrays.items() if name in ARRAYS},
            tuple(name for name in arrays if name not in ARRAYS),
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """The sets of a folder and the files that may be its head."""

    directory: Path
    sources: tuple[Source, ...]
    heads: tuple[Path, ...]

    def folder_of(self, source: Source) -> str:
        """The sub-folder that a set lies in, empty for the folder itself."""
        folder = source.place.parent.relative_to(self.directory).as_posix()
        return "" if folder == "." else folder

    def find(self, reference: str) -> tuple[Source, ...]:
        """The sets that the user means: a set, a file, all sets of a sub-folder, or `name=` in front of either."""
        if found := self._plain(reference):
            return found
        name, equals, rest = reference.partition("=")
        if not equals:
            raise unknown(f"set in {self.directory}", reference, self._references())
        if not name.strip() or not (found := self._plain(rest)):
            raise RequestError(
                f"{reference!r} should be name=set or name=file, but {rest!r} is neither a set in {self.directory} "
                f"nor a file; the sets are: {', '.join(self._references()) or 'none'}"
            )
        if len(found) > 1:
            raise RequestError(
                f"{reference!r} names one set, but {rest!r} is a folder of {len(found)} sets; name one file"
            )
        return (Source(name.strip(), found[0].place, found[0].parts),)

    def _plain(self, reference: str) -> tuple[Source, ...]:
        named = [source for source in self.sources if reference in (source.name, self._reference(source))]
        if len(named) > 1:
            files = " or ".join(self._reference(source) + source.place.suffix for source in named)
            raise RequestError(f"{reference!r} could be {files}; name the one that is meant by its file")
        if named:
            return (named[0],)
        for path in (self.directory / reference, Path(reference)):
            if path.is_file() and path.suffix.lower() in SUFFIXES:
                return (Source(path.stem, path, {}),)
        return tuple(source for source in self.sources if reference.rstrip("/") == self.folder_of(source) != "")

    def _reference(self, source: Source) -> str:
        folder = self.folder_of(source)
        return f"{folder}/{source.name}" if folder else source.name

    def _references(self) -> list[str]:
        return sorted(map(self._reference, self.sources))


def scan(directory: Path) -> Layout:
    """The layout of a folder, from the names of its files alone; nothing is opened."""
    if not directory.is_dir():
        raise RequestError(f"{directory} should be a folder of tensors, but there is no such folder")
    parts: dict[tuple[Path, str], dict[str, Path]] = {}
    wholes: list[Source] = []
    heads: list[Path] = []
    for path in _array_files(directory):
        inside = path.parent != directory
        if path.stem in HEAD_STEMS:
            heads += [] if inside else [path]
        elif inside and path.stem in ARRAYS:
            _add_part(parts, (path.parent, path.parent.name), path.stem, path)
        elif part := _PART.fullmatch(path.stem):
            _add_part(parts, (path.with_name(part[1]), part[1]), part[2], path)
        else:
            wholes.append(Source(path.stem, path, {}))
    split = (Source(name, place, found) for (place, name), found in parts.items())
    return Layout(directory, tuple(sorted((*wholes, *split), key=lambda source: str(source.place))), tuple(heads))


def _array_files(directory: Path) -> list[Path]:
    try:
        near = [path for path in sorted(directory.iterdir()) if not path.name.startswith(".")]
        below = [inner for path in near if path.is_dir() for inner in sorted(path.iterdir())]
    except OSError as error:
        raise RequestError(f"the folder {directory} cannot be read: {error.strerror or error}") from error
    return [
        path
        for path in (*near, *below)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def _add_part(parts: dict[tuple[Path, str], dict[str, Path]], key: tuple[Path, str], array: str, path: Path) -> None:
    found = parts.setdefault(key, {})
    if array in found:
        raise RequestError(
            f"the {array} of set {key[1]!r} are both in {found[array].name} and in {path.name}; keep one"
        )
    found[array] = path


def _only_array(path: Path, name: str, set_name: str) -> np.ndarray:
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise RequestError(
            f"{path} is read as the {name} of set {set_name!r} and should hold one array, but holds "
            f"{', '.join(arrays) or 'none'}; a file of several arrays is named after its set alone"
        )
    return next(iter(arrays.values()))
