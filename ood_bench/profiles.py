"""Profiles: another benchmark's parameters, fit split and search grids by scorer, as data, beside the authors' defaults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ood_bench.errors import RequestError
from ood_bench.naming import unknown
from ood_bench.shipped import shipped_files
from ood_bench.specs import Spec, parse_spec

Grid: TypeAlias = Mapping[str, Sequence[str]]  # by parameter, the values to try as they would be typed


@dataclass(frozen=True)
class Profile:
    """By registered name: the spec that the profile means by it."""

    name: str
    title: str
    source: str
    specs: Mapping[str, Spec]
    grids: Mapping[str, Grid]

    def apply(self, specs: Sequence[Spec]) -> list[Spec]:
        """The same scorers with the profile's parameters; one that names parameters of its own keeps those."""
        return list(dict.fromkeys(spec if spec.is_changed else self.specs.get(spec.name, spec) for spec in specs))


def load_profile(name: str) -> Profile:
    """A shipped profile. Its `[scorers.NAME]` tables hold parameters; the key `fit` says which bank is learnt from.

    `[grids.NAME]` lists the values that the other benchmark searches, the slowest parameter first.
    """
    files = shipped_files("profiles")
    if name not in files:
        raise unknown("profile", name, files)
    table = tomllib.loads(files[name].read_text(encoding="utf-8"))
    allowed = {"schema", "name", "title", "source", "notes", "scorers", "grids"}
    for key in table:
        if key not in allowed:
            raise unknown(f"key of profile {name}", key, allowed)
    if table.get("schema") != 1 or table.get("name") != name:
        raise RequestError(f"profile {name} should say schema = 1 and name = {name!r} in {files[name]}")
    specs = (parse_spec(_text(scorer, values)) for scorer, values in table["scorers"].items())
    grids = {
        parse_spec(scorer).name: {key: tuple(map(_value, values)) for key, values in grid.items()}
        for scorer, grid in table.get("grids", {}).items()
    }
    about = str(table.get("title", "")), str(table.get("source", ""))
    return Profile(name, *about, {spec.name: spec for spec in specs}, grids)


def _text(scorer: str, values: Mapping[str, object]) -> str:
    params = ",".join(f"{key}={_value(value)}" for key, value in values.items())
    return f"{scorer}:{params}" if params else scorer


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
