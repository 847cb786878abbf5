"""Which sources are read in which role, and the suite that the sets they turn out to hold make up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ood_bench.bank.base import KindOfLabels
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.layout import Layout, Source
from ood_bench.importing.roles import AUTOMATIC, Roles, families
from ood_bench.importing.rows import Share
from ood_bench.suite_types import VAL_OOD, FprOrientation, SetSpec, Suite
from ood_bench.suites import suite_path

SHIFTED = "shifted"


@dataclass(frozen=True, slots=True)
class Unit:
    """A source in a role; it becomes one set, or several by severity or by share."""

    role: str  # fit, val, test, shifted, or the group
    family: str
    kind: KindOfLabels
    source: Source
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The sets that a unit turned out to hold."""

    unit: Unit
    specs: tuple[SetSpec, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.specs)


def plan_units(layout: Layout, roles: Roles, share: Share | None) -> list[Unit]:
    """One unit for each source that the roles refer to; a role of one set refers to one source."""
    units: list[Unit] = []
    for role, reference in roles.single.items():
        sources = layout.find(reference)
        if len(sources) != 1:
            raise RequestError(
                f"--{role} takes one set, but {reference!r} is a folder of {len(sources)}; name one of them"
            )
        units.append(Unit(role, "", "id", sources[0], share if role == "fit" else None))
    for group, references in roles.groups.items():
        units += [Unit(group, "", "ood", source) for source in _all(layout, references)]
    for family, references in roles.shifted.items():
        units += [Unit(SHIFTED, family, "id", source) for source in _all(layout, references)]
    _check_names(units)
    return units


def make_share(share: float | None, seed: int, roles: Roles) -> Share | None:
    """What is taken from fit for val, if anything is."""
    if share is None:
        return None
    if not 0 < share < 1:
        raise RequestError(f"--val-from-fit should be a share between 0 and 1, got {share:g}; 0.1 is a tenth of fit")
    if "fit" not in roles.single:
        raise RequestError("--val-from-fit takes rows from the fit set, but no set is fit; name it with --fit")
    if "val" in roles.single:
        raise RequestError(f"val is given as {roles.single['val']!r} and as a share of fit; give it in one way")
    return Share(share, seed)


def make_suite(
    name: str,
    home: Home,
    model: str,
    label_space: str,
    fpr: FprOrientation | None,
    roles: Roles,
    found: Sequence[Found],
) -> Suite:
    """The user's suite, all sets described in it."""
    single: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    shifted: dict[str, list[str]] = {}
    plain: list[str] = []
    for item in found:
        role = item.unit.role
        if role == SHIFTED and item.unit.family != AUTOMATIC:
            shifted.setdefault(item.unit.family, []).extend(item.names)
        elif role == SHIFTED:
            plain += item.names
        elif item.unit.kind == "ood":
            groups.setdefault(role, []).extend(item.names)
        elif item.unit.share is not None:
            single |= {"fit": item.names[0], "val": item.names[1]}
        elif len(item.names) == 1:
            single[role] = item.names[0]
        else:
            raise RequestError(
                f"--{role} takes one set, but {item.unit.source} has {len(item.names)} severity levels; "
                "give it to --shifted, --near or --far"
            )
    return Suite(
        name=name,
        source=suite_path(home, name),
        origin="home",
        title=roles.title,
        paper=roles.paper,
        protocol=roles.protocol,
        fpr=fpr or roles.fpr or "id_positive",
        label_space=label_space,
        models=(model,),
        fit=single.get("fit"),
        val=single.get("val"),
        test=single.get("test"),
        val_ood=tuple(groups.pop(VAL_OOD, ())),
        groups={group: tuple(names) for group, names in groups.items()},
        shifted=families(plain) | {family: tuple(names) for family, names in shifted.items()},
        sets={spec.name: spec for item in found for spec in item.specs},
    )


def _all(layout: Layout, references: Iterable[str]) -> list[Source]:
    return [source for reference in references for source in layout.find(reference)]


def _check_names(units: Sequence[Unit]) -> None:
    first: dict[str, Unit] = {}
    for unit in units:
        name, other = unit.source.name, first.setdefault(unit.source.name, unit)
        if other is unit:
            continue
        if other.source.place != unit.source.place:
            raise RequestError(
                f"the set {name!r} would come from {other.source.place} and from {unit.source.place}; "
                f"rename one, as in other-{name}={unit.source}"
            )
        raise RequestError(
            f"a set has one role, but {name!r} is in {other.role} and {unit.role}; keep it in one of them"
        )
