"""Which images a set consists of: ids, files and labels, found and counted before anything is run. Needs no torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.unpack import safe_entry

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"})
_SHOWN = 3  # entries named in an error


@dataclass(frozen=True)
class ImageList:
    """The images of one set in order. `places` says where to read each; `labels` are classes, or None."""

    name: str
    ids: tuple[str, ...]
    places: Sequence[str]
    labels: tuple[int, ...] | None
    missing: tuple[str, ...] = ()  # entries of the list that are not in the folder

    @property
    def n(self) -> int:
        return len(self.ids)

    @cached_property
    def sha256(self) -> str:
        """The hash of the list: of the ids, one to a line."""
        return sha256_of_lines(self.ids)

    @cached_property
    def position(self) -> dict[str, int]:
        return {identifier: index for index, identifier in enumerate(self.ids)}

    def first(self, n: int) -> ImageList:
        """A spread of n images over the whole list, for trying things out: equal steps, so that all classes are in it."""
        if n >= self.n:
            return self
        rows = np.linspace(0, self.n - 1, n).round().astype(int).tolist() if n > 1 else [0]
        return self._take(rows)

    def present(self) -> ImageList:
        """Without the entries that are not there."""
        lacking = set(self.missing)
        return replace(self._take([row for row, one in enumerate(self.ids) if one not in lacking]), missing=())

    def _take(self, rows: Sequence[int]) -> ImageList:
        return ImageList(
            self.name,
            tuple(self.ids[row] for row in rows),
            [self.places[row] for row in rows],
            None if self.labels is None else tuple(self.labels[row] for row in rows),
            self.missing,
        )


def from_folder(name: str, folder: Path, classes: Sequence[str] | None = None) -> ImageList:
    """Every image below a folder, in the order of its path.

    With `classes`, an image's label is the place of its class folder (the first one of its path) in that list, and other
    folders are left out. Without, class folders are labelled in alphabetical order where all images lie in one.
    """
    found = sorted(files_below(name, folder))
    if classes is not None:
        at = {one: label for label, one in enumerate(classes)}
        found = [path for path in found if path.partition("/")[0] in at]
    else:
        tops = {path.partition("/")[0] if "/" in path else None for path in found}
        at = {} if None in tops else {one: label for label, one in enumerate(sorted(top for top in tops if top))}
    if not found:
        raise RequestError(f"set {name!r}: images are expected in {folder}, but none was found there")
    labels = tuple(at[path.partition("/")[0]] for path in found) if at else None
    return ImageList(name, tuple(found), [str(folder / path) for path in found], labels)


def from_list(name: str, entries: Iterable[str], folder: Path, where: str) -> ImageList:
    """The images that a list names: a path below `folder` on each line, with or without a label after it.

    A file that is not at its path is looked for by its name alone, so that the images of ImageNet's validation set are
    found flat and in class folders alike. What is nowhere is in `missing`.
    """
    parsed = [_entry(line, where, row) for row, line in enumerate(entries, 1) if line.strip()]
    if not parsed:
        raise RequestError(f"set {name!r}: {where} should name images, but it is empty")
    ids = tuple(path for path, _ in parsed)
    for path, times in Counter(ids).items():
        if times > 1:
            raise RequestError(f"set {name!r}: {where} names {path!r} {times} times; an image is in a set once")
    labels = [label for _, label in parsed]
    if any(label is None for label in labels) and not all(label is None for label in labels):
        row = next(row for row, label in enumerate(labels, 1) if label is None)
        raise RequestError(f"set {name!r}: either all lines of {where} carry a label or none; line {row} has none")
    there = set(files_below(name, folder))
    by_name: dict[str, str | None] = {}
    if any(path not in there for path in ids):
        for path in there:
            last = path.rpartition("/")[2]
            by_name[last] = None if last in by_name else path
    places, missing = [], []
    for path in ids:
        found = path if path in there else by_name.get(path.rpartition("/")[2])
        places.append(str(folder / (found or path)))
        if found is None:
            missing.append(path)
    return ImageList(
        name, ids, places, None if None in labels else tuple(label or 0 for label in labels), tuple(missing)
    )


def drawn(whole: ImageList, per_class: int, seed: int) -> ImageList:
    """So many images of each class, without replacement; each class has a generator of its own, seeded with both."""
    if whole.labels is None:
        raise RequestError(f"set {whole.name!r} is drawn by class, but its images lie in no class folders")
    labels = np.asarray(whole.labels)
    rows: list[int] = []
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise RequestError(
                f"set {whole.name!r} takes {per_class} images of each class, but class {label} "
                f"({whole.ids[members[0]].partition('/')[0]}) has {len(members)}"
            )
        chosen = np.random.default_rng([seed, label]).permutation(len(members))[:per_class]
        rows += np.sort(members[chosen]).tolist()
    return whole._take(sorted(rows))


def files_below(name: str, folder: Path) -> list[str]:
    """The image files below a folder as paths with forward slashes; links to folders are followed."""
    if not folder.is_dir():
        raise RequestError(f"set {name!r}: its images are expected in {folder}, but there is no such folder")
    found = []
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        inner = Path(top).relative_to(folder).as_posix()
        prefix = "" if inner == "." else f"{inner}/"
        found += [prefix + file for file in files if os.path.splitext(file)[1].lower() in ENDINGS and file[0] != "."]
    return found


def check_count(images: ImageList, count: int | None, list_sha256: str | None) -> None:
    """Raise RequestError where images are missing, too many or others than the set says."""
    if images.missing:
        shown = ", ".join(images.missing[:_SHOWN]) + (", ..." if len(images.missing) > _SHOWN else "")
        raise RequestError(
            f"set {images.name!r} should have {images.n} images, but {len(images.missing)} are not there ({shown}); "
            "see ood-bench datasets status, or call what there is a suite of your own with --as NAME"
        )
    if count is not None and images.n != count:
        raise RequestError(
            f"set {images.name!r} should have {count} images, but {images.n} were found; complete or clean the folder "
            "(ood-bench datasets status shows it), or call what there is a suite of your own with --as NAME"
        )
    if list_sha256 is not None and images.sha256 != list_sha256:
        raise RequestError(
            f"set {images.name!r} should be the list {list_sha256[:12]}, but the images found make {images.sha256[:12]}: "
            f"as many, but others or under other names (the first is {images.ids[0]!r})"
        )


def _entry(line: str, where: str, row: int) -> tuple[str, int | None]:
    path, _, last = line.strip().rpartition(" ")
    label = int(last) if path and last.lstrip("-").isdigit() else None
    path = path.strip() if label is not None else line.strip()
    if not safe_entry(path):
        raise RequestError(
            f"line {row} of {where} names {path!r}, which lies outside the folder of the images; correct or remove it"
        )
    return path, label
