"""What a set and a suite are: which images there are, which role each plays, and under which protocol."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ood_bench.errors import RequestError
from ood_bench.naming import NAME, unknown

FprOrientation = Literal["id_positive", "ood_positive"]
ORIENTATIONS: tuple[FprOrientation, ...] = ("id_positive", "ood_positive")
ROLES = ("fit", "val", "test")
VAL_OOD = "val_ood"  # OOD sets to choose hyper-parameters on, beside the ID validation set; never part of a result
# words that other files give a meaning of their own: a set named `mean` would look like an average in a leaderboard
_RESERVED_SETS = frozenset({"mean"})


@dataclass(frozen=True, slots=True)
class Download:
    """A file that can be fetched without asking anybody; an archive is unpacked at `into`, below the data root."""

    url: str
    into: str = ""
    sha256: str | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SetSpec:
    """One set of images, standing alone; what is not known is None or empty, never guessed."""

    name: str
    title: str = ""
    count: int | None = None
    list_sha256: str | None = None
    licence: str = ""
    source: str = ""  # where the images come from, and how to get them
    list_file: str | None = None
    selection: str = ""  # the rule that chose these images out of the source, in words
    seed: int | None = None  # of that rule, where it draws
    images: str = ""  # a folder below the data root, or npy:FILE:FIRST:STOP, torchvision:NAME:SPLIT, hf:NAME:SPLIT
    list_at: str = ""  # a list that comes with the images, below the data root
    classes: str | None = None  # list file with the names of the class folders in the order of their labels
    per_class: int | None = None  # so many images of each class, drawn with `seed`
    downloads: tuple[Download, ...] = ()
    by_hand: str = ""  # what a person must do where nothing can be fetched


@dataclass(frozen=True, slots=True)
class Published:
    """One figure as a paper prints it, digits kept as text."""

    table: str
    scorer: str
    model: str
    metric: str
    value: str
    set: str | None = None
    group: str | None = None
    orientation: FprOrientation | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Sets in their roles. Any role may be missing: what needs it is skipped with a reason, not refused."""

    name: str
    source: Path
    origin: Literal["shipped", "home"]
    title: str = ""
    paper: str = ""
    protocol: str = ""
    fpr: FprOrientation = "id_positive"
    label_space: str = ""
    models: tuple[str, ...] = ()
    fit: str | None = None
    val: str | None = None
    test: str | None = None
    val_ood: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shifted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    sets: dict[str, SetSpec] = field(default_factory=dict)

    @property
    def members(self) -> tuple[tuple[str, str], ...]:
        """Every (role, set) in a fixed order: fit, val, test, OOD validation, the groups, the shifted families."""
        single = ((role, getattr(self, role)) for role in ROLES)
        several = (
            (role, name)
            for table in ({VAL_OOD: self.val_ood}, self.groups, self.shifted)
            for role, names in table.items()
            for name in names
        )
        return (*((role, name) for role, name in single if name is not None), *several)

    def is_ood(self, role: str) -> bool:
        """Whether sets in this role are out of distribution, so that their labels are no ID classes."""
        return role == VAL_OOD or role in self.groups

    def role_of(self, set_name: str) -> str:
        """`fit`, `val`, `test`, `val_ood`, the group or the shifted family that the set belongs to in this suite."""
        for role, name in self.members:
            if name == set_name:
                return role
        raise unknown(f"set of suite {self.name}", set_name, self.sets)


def check_suite(suite: Suite, where: str) -> None:
    """Raise RequestError where the suite contradicts itself; `where` begins the sentence."""
    if not NAME.fullmatch(suite.name):
        meant = re.sub(r"[^a-z0-9]+", "-", suite.name.lower()).strip("-") or "my-suite"
        raise RequestError(
            f"{where}: a suite's name is made of a-z, 0-9 and '-', got {suite.name!r}; {meant!r} would do"
        )
    for group in suite.groups:
        if not NAME.fullmatch(group) or group in ROLES:
            raise RequestError(f"{where}: a group's name is made of a-z, 0-9 and '-' and is no role, got {group!r}")
    for kind, table in (("group", suite.groups), ("shifted family", suite.shifted)):
        for key, names in table.items():
            if not names:
                raise RequestError(f"{where}: the {kind} {key!r} lists no set; name one or drop it")
    members = suite.members
    if not members:
        raise RequestError(f"{where}: a suite needs at least one set in a role or group, got none")
    for name, times in Counter(name for _, name in members).items():
        roles = " and ".join(role for role, member in members if member == name)
        if times > 1:
            raise RequestError(f"{where}: a set has one role, but {name!r} is in {roles}; keep it in one of them")
        if name in _RESERVED_SETS:
            raise RequestError(f"{where}: {name!r} is reserved for averages in tables; give the set another name")
    for model, times in Counter(suite.models).items():
        if times > 1:
            raise RequestError(f"{where}: each model is listed once, but {model!r} is there {times} times")
    for figure in suite.published:
        if figure.set is not None and figure.set not in suite.sets:
            raise unknown(f"set of {where} (in [[published]])", figure.set, suite.sets)
        if figure.group is not None and figure.group not in suite.groups:
            raise unknown(f"group of {where} (in [[published]])", figure.group, suite.groups)
