"""What is there of a set's images, what is missing, and how much there is to download. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ood_bench.errors import OodBenchError, RequestError
from ood_bench.extraction.listing import check_count
from ood_bench.extraction.locate import Place, build, built_list, find_images, how
from ood_bench.extraction.readers import fetch_torchvision, reader_of
from ood_bench.fetch import TIMEOUT, fetch
from ood_bench.home import Home
from ood_bench.naming import unknown
from ood_bench.suites import SetSpec, list_suites
from ood_bench.unpack import is_archive, unpack

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class State:
    """`found` is how many images are there; `problem` says why an extraction would be refused; None: all is well."""

    set: str
    count: int | None
    found: int
    problem: str | None
    bytes: int | None  # to download, where that can be done and the size is known
    remedy: str

    @property
    def ready(self) -> bool:
        return self.problem is None


def state_of(spec: SetSpec, place: Place) -> State:
    """Look at the images of one set without reading any of them."""
    remedy = how(spec)
    size = sum(one.bytes for one in spec.downloads if one.bytes) or None
    try:
        images = find_images(spec, place)
    except OodBenchError as error:
        return State(spec.name, spec.count, 0, str(error), size, remedy)
    found = images.n - len(images.missing)
    try:
        check_count(images, spec.count, spec.list_sha256)
    except RequestError as error:
        return State(spec.name, spec.count, found, str(error), size, remedy)
    return State(spec.name, spec.count, found, None, None, "")


def get(spec: SetSpec, place: Place, say: Say, *, timeout: float = TIMEOUT) -> bool:
    """Fetch and unpack what a set says can be fetched; False where a person must do it, with the words said."""
    if reader_of(spec.images) == "torchvision" and not spec.downloads:
        _, source, split = [*spec.images.split(":"), "test"][:3]
        fetch_torchvision(source, split, place.data_root)
        return True
    if not spec.downloads:
        say(f"{spec.name}: {how(spec)}")
        return False
    for one in spec.downloads:
        into = place.data_root / one.into
        name = Path(urlsplit(one.url).path).name or f"{spec.name}.download"
        target = place.data_root / "downloads" / name if is_archive(Path(name)) else into / name
        say(f"{spec.name}: {one.url}")
        fetch(one.url, target, sha256=one.sha256, timeout=timeout)
        if is_archive(target):
            say(f"{spec.name}: {unpack(target, into)} files unpacked into {into}")
    return True


def build_list(spec: SetSpec, place: Place, say: Say) -> None:
    """Draw the list of a set that is described by a rule, and keep it."""
    if spec.per_class is None:
        raise RequestError(
            f"set {spec.name!r} has no rule to draw by: its list is shipped, comes with it, or is its folder"
        )
    images = build(spec, place)
    say(
        f"{spec.name}: {images.n} images, {spec.per_class} of each class, seed {spec.seed or 0}, list "
        f"{images.sha256[:12]}, kept at {built_list(spec, place.home)}"
    )


def described_sets(home: Home) -> dict[str, SetSpec]:
    """Every set of every suite by name."""
    return {name: spec for suite in list_suites(home) for name, spec in suite.sets.items()}


def find_set(name: str, home: Home) -> SetSpec:
    """The set of that name; an unknown name lists what there is."""
    known = described_sets(home)
    if name not in known:
        raise unknown("set", name, known)
    return known[name]
