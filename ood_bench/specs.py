"""The grammar of a scorer on the command line: `[rectifier+][source:]name[:param=value,...]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from ood_bench.errors import RequestError
from ood_bench.not_cacheable import BRING, NOT_CACHEABLE
from ood_bench.parameters import Scalar, build, make, values_of
from ood_bench.registry import SCORERS, Entry
from ood_bench.types import Info

BEHIND = "energy"  # a rectifier named alone means itself before the energy score, as its papers report it
SPLIT_PARAMETER = "fit"  # understood by every scorer that learns: which bank it learns from

_PLUS = re.compile(r"(?<![0-9.][eE])\+")  # not the plus of a number such as 1e+5


@dataclass(frozen=True, slots=True)
class Part:
    """One scorer or rectifier with its hyper-parameters."""

    entry: Entry
    instance: Any

    @property
    def values(self) -> dict[str, Scalar]:
        return values_of(self.instance)

    def resolved(self, info: Info) -> Part:
        """With `auto`, `None` and clamped parameters replaced by what they mean for this bank."""
        resolve = getattr(self.instance, "resolve", None)
        return self if resolve is None else replace(self, instance=resolve(info))

    def __str__(self) -> str:
        """The name and whatever differs from the defaults, as it would be typed."""
        defaults = {parameter.name: parameter.default for parameter in self.entry.parameters}
        changed = [f"{key}={_text(value)}" for key, value in self.values.items() if value != defaults[key]]
        return self.entry.name + (":" + ",".join(changed) if changed else "")


@dataclass(frozen=True, slots=True)
class Spec:
    """A scorer as asked for: rectifiers from the outside in, the scorer behind them, and the bank it learns from."""

    rectifiers: tuple[Part, ...]
    scorer: Part
    fit_split: Literal["fit", "val"] = "fit"

    @property
    def parts(self) -> tuple[Part, ...]:
        return (*self.rectifiers, self.scorer)

    @property
    def name(self) -> str:
        """`vim`, `ash-s+energy`: what stands in the column `scorer`."""
        return "+".join(part.entry.name for part in self.parts)

    @property
    def version(self) -> str:
        """Versions of the parts; a plug-in's also names its file's content, since its author need not raise one, and an
        adapter's the release of the package that it runs."""
        return "+".join(
            str(part.entry.version)
            + (f".{part.entry.plugin_sha256[:12]}" if part.entry.plugin_sha256 else "")
            + (f" ({part.entry.release})" if part.entry.release else "")
            for part in self.parts
        )

    @property
    def params(self) -> dict[str, Scalar]:
        """All hyper-parameters; those of a composition carry the part's name: `ash-s.p`."""
        if not self.rectifiers:
            return self.scorer.values
        return {f"{part.entry.name}.{key}": value for part in self.parts for key, value in part.values.items()}

    @property
    def is_changed(self) -> bool:
        """Whether anything differs from the defaults."""
        return str(self) != self.name and str(self) != self.name + f":{SPLIT_PARAMETER}=fit"

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(need for part in self.parts for need in part.entry.needs))

    @property
    def assumes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(condition for part in self.parts for condition in part.entry.assumes))

    @property
    def origin(self) -> Literal["ours", "plugin", "external"]:
        origins = {part.entry.origin for part in self.parts}
        return "plugin" if "plugin" in origins else "external" if "external" in origins else "ours"

    @property
    def plugin_sha256(self) -> str | None:
        return next((part.entry.plugin_sha256 for part in self.parts if part.entry.plugin_sha256), None)

    def resolved(self, info: Info) -> Spec:
        """Every part resolved for a bank of these shapes."""
        return replace(
            self,
            rectifiers=tuple(part.resolved(info) for part in self.rectifiers),
            scorer=self.scorer.resolved(info),
        )

    def __str__(self) -> str:
        text = "+".join(map(str, self.parts))
        if self.fit_split == "fit":
            return text
        return text + ("," if ":" in str(self.scorer) else ":") + f"{SPLIT_PARAMETER}={self.fit_split}"


def parse_spec(text: str) -> Spec:
    """Read `ash-s:p=90+energy`, `knn:k=50`, `mds++`, ...; RequestError says what is wrong and what there is."""
    pieces = _PLUS.split(_without_aliases(text.strip()))
    if not all(pieces):
        raise RequestError(f"a scorer is written [rectifier+]name[:param=value,...], got {text!r}")
    split: Literal["fit", "val"] = "fit"
    parts = []
    for piece in pieces:
        name, params = _name_and_params(piece, text)
        wanted = params.pop(SPLIT_PARAMETER, None)
        if wanted is not None:
            if wanted not in ("fit", "val"):
                raise RequestError(
                    f"{text}: {SPLIT_PARAMETER} takes fit or val (the bank to learn from), got {wanted!r}"
                )
            split = cast('Literal["fit", "val"]', wanted)
        absent = NOT_CACHEABLE.get(name)
        if absent is not None and name not in SCORERS.entries:
            raise RequestError(f"{name} cannot be computed from a cache: it {absent.reason}; {BRING}")
        entry = SCORERS.get(name)
        parts.append(Part(entry, build(entry.cls, params, entry.name)))
    return _spec(parts, split, text)


def make_spec(name: str, values: Mapping[str, Scalar] | None = None, fit_split: Literal["fit", "val"] = "fit") -> Spec:
    """The same from Python: a name (or composition) and, for a single scorer, typed parameters."""
    spec = parse_spec(name)
    if values:
        entry = spec.rectifiers[0].entry if spec.rectifiers and "+" not in name else spec.scorer.entry
        part = Part(entry, make(entry.cls, values, entry.name))
        rest = (spec.scorer,) if entry.kind == "rectifier" else ()
        return _spec([part, *rest], fit_split, name)
    return replace(spec, fit_split=fit_split) if fit_split != "fit" else spec


def _spec(parts: list[Part], split: Literal["fit", "val"], text: str) -> Spec:
    if parts[-1].entry.kind == "rectifier":
        entry = SCORERS.get(BEHIND)
        parts = [*parts, Part(entry, entry.cls())]
    for part in parts[:-1]:
        if part.entry.kind != "rectifier":
            names = ", ".join(name for name, entry in SCORERS.entries.items() if entry.kind == "rectifier")
            raise RequestError(
                f"{text}: before a + stands a rectifier, but {part.entry.name} is a scorer; there are: {names}"
            )
    return Spec(tuple(parts[:-1]), parts[-1], split)


def _without_aliases(text: str) -> str:
    """Aliases that contain a plus (`mds++`) replaced by their names, since a plus also separates parts."""
    for alias, name in sorted(SCORERS.aliases.items(), key=lambda item: -len(item[0])):
        if "+" in alias:
            text = re.sub(rf"(^|\+){re.escape(alias)}(?=$|[+:])", rf"\g<1>{name}", text)
    return text


def _name_and_params(piece: str, text: str) -> tuple[str, dict[str, str]]:
    *source, last = piece.split(":")
    if not source or "=" not in last:
        return piece, {}
    params: dict[str, str] = {}
    for item in last.split(","):
        key, equals, value = item.partition("=")
        if not (key and equals and value):
            raise RequestError(f"{text}: parameters are written name=value,name=value, got {item!r}")
        if key in params:
            raise RequestError(f"{text}: the parameter {key} is given twice")
        params[key] = value
    return ":".join(source), params


def _text(value: Scalar) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)
