"""Finds the images of a set: where its description says, or where the user says with --set. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ood_bench.errors import RequestError
from ood_bench.extraction.listing import ImageList, drawn, from_folder, from_list
from ood_bench.extraction.readers import list_reader, reader_of
from ood_bench.files import write_bytes
from ood_bench.home import Home
from ood_bench.naming import folder_name
from ood_bench.shipped import DATA
from ood_bench.suites import SetSpec


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: the data root, and the home in which drawn lists are kept."""

    data_root: Path
    home: Home

    def __post_init__(self) -> None:
        if not self.data_root.is_dir():
            raise RequestError(
                f"--data-root should be the folder with the images, but there is no folder {self.data_root}"
            )


def find_images(spec: SetSpec, place: Place) -> ImageList:
    """The images of a described set. A drawn list is made the first time and kept in the home. Raises RequestError."""
    if not spec.images:
        raise RequestError(
            f"set {spec.name!r} does not say where its images are; give them with --set {spec.name}=FOLDER, LIST.txt, "
            "torchvision:NAME:SPLIT or hf:NAME:SPLIT"
        )
    if reader_of(spec.images):
        return list_reader(spec.name, spec.images, place.data_root)
    folder = place.data_root / spec.images
    if spec.per_class is not None:
        kept = built_list(spec, place.home)
        if not kept.is_file():
            build(spec, place)
        return from_list(spec.name, _lines(kept), folder, str(kept))
    if spec.list_file is not None or spec.list_at:
        at = DATA / spec.list_file if spec.list_file is not None else place.data_root / spec.list_at
        if not at.is_file():
            raise RequestError(
                f"set {spec.name!r}: its list is expected at {at}, but there is no such file; {how(spec)}"
            )
        return from_list(spec.name, _lines(at), folder, str(at))
    return from_folder(spec.name, folder, _classes(spec))


def build(spec: SetSpec, place: Place) -> ImageList:
    """Draw the list of a set by its rule and keep it in the home."""
    assert spec.per_class is not None
    whole = from_folder(spec.name, place.data_root / spec.images, _classes(spec))
    images = drawn(whole, spec.per_class, spec.seed or 0)
    labels = images.labels or ()
    lines = "".join(f"{one} {label}\n" for one, label in zip(images.ids, labels, strict=True))
    write_bytes(built_list(spec, place.home), lines.encode())
    return images


def built_list(spec: SetSpec, home: Home) -> Path:
    """Where the drawn list of a set is kept."""
    return home.root / "lists" / f"{folder_name(spec.name)}-seed{spec.seed or 0}.txt"


def own_images(name: str, given: str, data_root: Path) -> ImageList:
    """The images that a user names: a folder, a list, or a reader; relative paths are below the data root."""
    if reader_of(given):
        return list_reader(name, given, data_root)
    path = data_root / given
    if path.is_dir():
        return from_folder(name, path)
    if path.is_file() and path.suffix == ".txt":
        return from_list(name, _lines(path), path.parent, str(path))
    raise RequestError(
        f"--set {name}={given}: expects a folder of images, a list LIST.txt, torchvision:NAME:SPLIT or hf:NAME:SPLIT, "
        f"but {path} is no folder and no list"
    )


def how(spec: SetSpec) -> str:
    """How to get the images of a set, in a sentence."""
    if spec.downloads:
        return f"ood-bench datasets get {spec.name} --data-root DIR fetches it"
    return spec.by_hand or spec.source or "its description does not say where to get it"


def _classes(spec: SetSpec) -> list[str] | None:
    return None if spec.classes is None else _lines(DATA / spec.classes)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"the list {path} should be UTF-8 text, but it cannot be read: {error}") from error
