"""Profiles: another benchmark's parameters and fit split by scorer, as data, beside the authors' own defaults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ood_bench.errors import RequestError
from ood_bench.naming import unknown
from ood_bench.shipped import shipped_files
from ood_bench.specs import Spec, parse_spec


@dataclass(frozen=True)
class Profile:
    """By registered name: the spec that the profile means by it."""

    name: str
    title: str
    source: str
    specs: Mapping[str, Spec]

    def apply(self, specs: Sequence[Spec]) -> list[Spec]:
        """The same scorers with the profile's parameters; one that names parameters of its own keeps those."""
        return list(dict.fromkeys(spec if spec.is_changed else self.specs.get(spec.name, spec) for spec in specs))


def load_profile(name: str) -> Profile:
    """A shipped profile. Its `[scorers.NAME]` tables hold parameters; the key `fit` says which bank is learnt from."""
    files = shipped_files("profiles")
    if name not in files:
        raise unknown("profile", name, files)
    table = tomllib.loads(files[name].read_text(encoding="utf-8"))
    allowed = {"schema", "name", "title", "source", "notes", "scorers"}
    for key in table:
        if key not in allowed:
            raise unknown(f"key of profile {name}", key, allowed)
    if table.get("schema") != 1 or table.get("name") != name:
        raise RequestError(f"profile {name} should say schema = 1 and name = {name!r} in {files[name]}")
    specs = (parse_spec(_text(scorer, values)) for scorer, values in table["scorers"].items())
    return Profile(name, str(table.get("title", "")), str(table.get("source", "")), {spec.name: spec for spec in specs})


def _text(scorer: str, values: Mapping[str, object]) -> str:
    params = ",".join(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()
    )
    return f"{scorer}:{params}" if params else scorer
