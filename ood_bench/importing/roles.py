"""Which set of a folder plays which role: from flags or from a TOML file, and what to say when nothing is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ood_bench.errors import RequestError
from ood_bench.importing.layout import Layout
from ood_bench.suite_types import ORIENTATIONS, ROLES, VAL_OOD
from ood_bench.suites import FprOrientation
from ood_bench.toml_tables import read_toml

AUTOMATIC = ""  # the family of shifted sets whose families follow from their names
_SEVERITY = re.compile(r"(.+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Roles:
    """References to sets of a folder by role, and what the suite says about itself."""

    single: Mapping[str, str] = field(default_factory=dict)  # fit, val, test
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # and val_ood, where it has sets
    shifted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    title: str = ""
    paper: str = ""
    protocol: str = ""
    fpr: FprOrientation | None = None

    @property
    def empty(self) -> bool:
        return not (self.single or self.groups or self.shifted)


def roles_from_flags(
    fit: str | None,
    val: str | None,
    test: str | None,
    near: Sequence[str],
    far: Sequence[str],
    shifted: Sequence[str],
    val_ood: Sequence[str] = (),
) -> Roles:
    """The roles as the command line gives them."""
    single = {role: name for role, name in zip(ROLES, (fit, val, test), strict=True) if name is not None}
    groups = {group: tuple(names) for group, names in ((VAL_OOD, val_ood), ("near", near), ("far", far)) if names}
    return Roles(single, groups, {AUTOMATIC: tuple(shifted)} if shifted else {})


def roles_from_toml(path: Path) -> Roles:
    """[roles] fit, val, test, val_ood = [...]; [groups] lists; shifted = [...] or [shifted] with a list for each family."""
    top = read_toml(path, ("roles", "groups", "shifted", "title", "paper", "protocol", "fpr"), "roles file")
    roles, groups = top.table("roles", (*ROLES, VAL_OOD)), top.table("groups", None)
    if isinstance(top.values.get("shifted"), list):
        shifted = {AUTOMATIC: top.texts("shifted")}
    else:
        families = top.table("shifted", None)
        shifted = {family: families.texts(family) for family in families.names()}
    return Roles(
        {role: roles.text(role) for role in ROLES if role in roles},
        ({VAL_OOD: roles.texts(VAL_OOD)} if VAL_OOD in roles else {})
        | {group: groups.texts(group) for group in groups.names()},
        shifted,
        top.text("title", ""),
        top.text("paper", ""),
        top.text("protocol", ""),
        cast(FprOrientation, top.one_of("fpr", ORIENTATIONS)) if "fpr" in top else None,
    )


def families(sets: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Shifted sets by family: `blur-1`, `blur-2` are the family `blur` in order of severity, others stand alone."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in sets:
        match = _SEVERITY.fullmatch(name)
        family, severity = (match[1], int(match[2])) if match else (name, 0)
        found.setdefault(family, []).append((severity, name))
    return {family: tuple(name for _, name in sorted(members)) for family, members in found.items()}


def no_roles(layout: Layout, model: str, suite: str) -> RequestError:
    """The refusal to guess: what was found, and a whole command to correct."""
    if not layout.sources:
        return RequestError(
            f"{layout.directory} should hold sets as .npz, .npy, .pt, .safetensors or .pkl, but has none"
        )
    flags: dict[str, list[str]] = {}
    folders: dict[str, int] = {}
    for source in layout.sources:
        if folder := layout.folder_of(source):
            folders[folder] = folders.get(folder, 0) + 1
        else:
            flags.setdefault(_guess(source.name, flags), []).append(source.name)
    for folder in folders:
        flags.setdefault("far" if folder in ("ood", "far") else "near" if folder == "near" else "shifted", []).append(
            folder
        )
    order = [flag for flag in ("fit", "test", "val", "near", "far", "shifted") if flag in flags]
    words = ["ood-bench", "import", str(layout.directory), "--model", model, "--suite", suite]
    words += [word for flag in order for word in (f"--{flag}", ",".join(flags[flag]))]
    found = [source.name for source in layout.sources if not layout.folder_of(source)]
    found += [f"{folder}/ ({count} sets)" for folder, count in folders.items()]
    return RequestError(
        f"no set of {layout.directory} was given a role, and roles are not guessed; there are: {', '.join(found)}; "
        f"correct this and run it: {shlex.join(words)}"
    )


def _guess(name: str, taken: Mapping[str, list[str]]) -> str:
    words = re.split(r"[^a-z]+", name.lower())
    for flag, hints in (
        ("fit", ("train", "fit", "training")),
        ("test", ("test",)),
        ("val", ("val", "valid", "validation")),
    ):
        if flag not in taken and any(hint in words for hint in hints):
            return flag
    return "far"
