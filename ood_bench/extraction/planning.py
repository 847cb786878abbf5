"""What an extraction will do, decided and checked before a network is loaded. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ood_bench.errors import RequestError
from ood_bench.extraction.listing import ImageList, check_count
from ood_bench.extraction.locate import Place, find_images, own_images
from ood_bench.home import Home
from ood_bench.naming import unknown
from ood_bench.suites import SetSpec, Suite, check_name_is_free

Kind = Literal["id", "ood"]


@dataclass(frozen=True)
class Planned:
    """One set to extract. `images` carry the name that the bank will have."""

    role: str
    kind: Kind
    was: str  # the name of the set in the suite that it comes from
    spec: SetSpec
    images: ImageList


@dataclass(frozen=True)
class Wanted:
    """What the user says beside the suite: own places of sets, a suite of their own, a few images only, some sets."""

    own: Mapping[str, str] = field(default_factory=dict)
    as_suite: str | None = None
    limit: int | None = None
    only: tuple[str, ...] = ()


def plan(suite: Suite, place: Place, wanted: Wanted) -> list[Planned]:
    """Every set of the suite with its images, counted. Raises RequestError for the first that is not right."""
    if wanted.as_suite is not None:
        check_name_is_free(wanted.as_suite)
    elif wanted.limit is not None:
        raise RequestError("a few images of each set are another suite than the paper's; name it with --as NAME")
    for name in (*wanted.own, *wanted.only):
        if name not in suite.sets:
            raise unknown(f"set of suite {suite.name}", name, suite.sets)
    planned = []
    for role, name in suite.members:
        if wanted.only and name not in wanted.only:
            continue
        spec = suite.sets[name]
        images = own_images(name, wanted.own[name], place.data_root) if name in wanted.own else find_images(spec, place)
        kind: Kind = "ood" if suite.is_ood(role) else "id"
        planned.append(Planned(role, kind, name, *_settled(spec, images, wanted)))
    return planned


def _settled(spec: SetSpec, images: ImageList, wanted: Wanted) -> tuple[SetSpec, ImageList]:
    """The set as it is described; or, in a suite of the user's own, what there is of it, under a name that says so."""
    if wanted.as_suite is None:
        check_count(images, spec.count, spec.list_sha256)
        return spec, images
    there = images.present() if images.missing else images
    there = there if wanted.limit is None else there.first(wanted.limit)
    if not there.n:
        raise RequestError(
            f"set {spec.name!r}: none of its images is there; leave it out by naming the others with --only"
        )
    whole = there.n == images.n and spec.count in (None, there.n) and spec.list_sha256 in (None, there.sha256)
    name = spec.name if whole and wanted.limit is None and spec.count is not None else f"{wanted.as_suite}/{spec.name}"
    changed = replace(
        spec,
        name=name,
        count=there.n,
        list_sha256=there.sha256,
        selection=spec.selection if name == spec.name else f"{there.n} of the images of {spec.name}",
    )
    return changed, replace(there, name=name)


def suite_as(suite: Suite, planned: Sequence[Planned], home: Home, name: str, model: str) -> Suite:
    """The suite of the user's own that the planned sets make."""
    new = {one.was: one.images.name for one in planned}

    def those(table: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        kept = {key: tuple(new[one] for one in names if one in new) for key, names in table.items()}
        return {key: names for key, names in kept.items() if names}

    return Suite(
        name=name,
        source=home.suites / f"{name}.toml",
        origin="home",
        title=f"after {suite.name}" if suite.title else "",
        protocol=f"the sets of {suite.name} as far as they were there" if suite.paper else "",
        fpr=suite.fpr,
        label_space=suite.label_space,
        models=(model,),
        fit=new.get(suite.fit or ""),
        val=new.get(suite.val or ""),
        test=new.get(suite.test or ""),
        groups=those(suite.groups),
        shifted=those(suite.shifted),
        sets={one.images.name: one.spec for one in planned},
    )


def own_suite(
    name: str,
    label_space: str,
    sets: Mapping[str, str],
    roles: Mapping[str, str | None],
    groups: Mapping[str, tuple[str, ...]],
    shifted: tuple[str, ...],
) -> Suite:
    """A suite out of the command line alone, before its images are found."""
    families: dict[str, tuple[str, ...]] = {one: (one,) for one in shifted}
    named = [*(one for one in roles.values() if one), *(one for names in groups.values() for one in names), *shifted]
    for one in named:
        if one not in sets:
            raise RequestError(f"{one!r} is given a role, but not its images; add --set {one}=FOLDER")
    for one in sets:
        if one not in named:
            raise RequestError(f"--set {one} has no role; add --fit, --val, --test, --near, --far or --shifted {one}")
    if not named:
        raise RequestError(
            "nothing to extract: name a suite with --suite, or sets with --set NAME=FOLDER and their roles"
        )
    return Suite(
        name=name,
        source=Path("command line"),
        origin="home",
        label_space=label_space,
        fit=roles.get("fit"),
        val=roles.get("val"),
        test=roles.get("test"),
        groups={group: names for group, names in groups.items() if names},
        shifted=families,
        sets={one: SetSpec(one) for one in sets},
    )
