"""Hyper-parameters: read from a frozen dataclass's annotations, parsed from text, checked, written back."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from ood_bench.errors import RequestError
from ood_bench.naming import unknown

Scalar = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number: `Annotated[float, Range(0, 1)]`. `above`/`below` exclude the bound itself."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return over and under and not math.isnan(value)

    def __str__(self) -> str:
        low = f"{self.low:g} {'<' if self.above else '<='} " if self.low > -math.inf else ""
        high = f" {'<' if self.below else '<='} {self.high:g}" if self.high < math.inf else ""
        return f"{low}value{high}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One hyper-parameter: its name, the kinds of value it takes, bounds of a number, and the authors' default."""

    name: str
    kinds: tuple[Any, ...]
    bounds: Range | None
    default: Scalar
    required: bool = False

    def describe(self) -> str:
        """What the parameter takes, in words: `a whole number, 1 <= value, or all`."""
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "none"}
        alternatives = [words.get(kind, str(kind)) for kind in self.kinds]
        bounded = f" ({self.bounds})" if self.bounds else ""
        return " or ".join(alternatives) + bounded

    def parse(self, text: str, owner: str) -> Scalar:
        """The value that `text` stands for; RequestError says what the parameter of `owner` takes."""
        for kind in self.kinds:
            value = _parse_as(kind, text)
            if value is not _NO:
                self.check(value, owner)
                return value  # type: ignore[no-any-return]  # _NO is the only non-scalar
        raise RequestError(f"{owner}: {self.name} takes {self.describe()}, got {text!r}")

    def check(self, value: Scalar, owner: str) -> None:
        """Raise RequestError unless `value` has one of the kinds and lies in the bounds."""
        if not any(_is_a(value, kind) for kind in self.kinds):
            raise RequestError(f"{owner}: {self.name} takes {self.describe()}, got {value!r}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.bounds is not None and is_number and float(value or 0) not in self.bounds:
            raise RequestError(f"{owner}: {self.name} takes {self.describe()}, got {value!r}")


def parameters_of(cls: type) -> tuple[Parameter, ...]:
    """The hyper-parameters of a dataclass, in the order of its fields."""
    return _parameters_of(cls)


@functools.cache
def _parameters_of(cls: type) -> tuple[Parameter, ...]:
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        Parameter(
            field.name,
            *_kinds_and_bounds(hints[field.name]),
            None if field.default is dataclasses.MISSING else cast(Scalar, field.default),
            required=field.default is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
        if field.init
    )


def build(cls: type, texts: Mapping[str, str], owner: str) -> Any:
    """An instance of `cls` from texts as written on a command line; unknown names and bad values raise RequestError."""
    known = {parameter.name: parameter for parameter in parameters_of(cls)}
    for name in texts:
        if name not in known:
            raise unknown(f"parameter of {owner}", name, known)
    return make(cls, {name: known[name].parse(text, owner) for name, text in texts.items()}, owner)


def make(cls: type, values: Mapping[str, Scalar], owner: str) -> Any:
    """An instance of `cls` from typed values, checked."""
    known = {parameter.name: parameter for parameter in parameters_of(cls)}
    for name, value in values.items():
        if name not in known:
            raise unknown(f"parameter of {owner}", name, known)
        known[name].check(value, owner)
    missing = [name for name, parameter in known.items() if parameter.required and name not in values]
    if missing:
        raise RequestError(f"{owner} needs a value for {', '.join(missing)}, e.g. {owner}:{missing[0]}=...")
    try:
        return cls(**{name: _as_declared(value, known[name].kinds) for name, value in values.items()})
    except (ValueError, TypeError) as error:  # what a scorer's own __post_init__ refuses
        raise RequestError(f"{owner}: {error}") from error


def values_of(instance: Any) -> dict[str, Scalar]:
    """The hyper-parameters of an instance, in field order; what a record's key is made of."""
    return {parameter.name: getattr(instance, parameter.name) for parameter in parameters_of(type(instance))}


_NO = object()


def _as_declared(value: Scalar, kinds: tuple[Any, ...]) -> Scalar:
    """A whole number as a float where only a float is taken: 1 and 1.0 are one value and must make one key."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(cast(int, value)) if is_whole and float in kinds and int not in kinds else value


def _parse_as(kind: Any, text: str) -> Any:
    if kind is type(None):
        return None if text == "none" else _NO
    if kind is bool:
        return {"true": True, "false": False}.get(text, _NO)
    if kind is int:
        try:
            return int(text)
        except ValueError:
            return _NO
    if kind is float:
        try:
            return float(text)
        except ValueError:
            return _NO
    if kind is str:
        return text
    return kind if text == str(kind) else _NO


def _is_a(value: object, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type):
        return isinstance(value, kind)
    return bool(value == kind)


def _kinds_and_bounds(annotation: Any) -> tuple[tuple[Any, ...], Range | None]:
    """The alternatives of an annotation, literals first so that `all` is not taken for a text."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        kinds, bounds = _kinds_and_bounds(inner)
        return kinds, next((item for item in extra if isinstance(item, Range)), bounds)
    if origin in (Union, types.UnionType):
        parts = [_kinds_and_bounds(part) for part in get_args(annotation)]
        kinds = tuple(kind for part, _ in parts for kind in part)
        order = {float: 2, str: 3, int: 1}
        ordered = tuple(sorted(kinds, key=lambda kind: order.get(kind, 0)))
        return ordered, next((bounds for _, bounds in parts if bounds is not None), None)
    if origin is Literal:
        return get_args(annotation), None
    if annotation in (bool, int, float, str, type(None)):
        return (annotation,), None
    raise TypeError(f"a hyper-parameter is bool, int, float, str, None or a Literal of these, got {annotation!r}")
