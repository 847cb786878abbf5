"""Hyper-parameters: typed by the dataclass, parsed from text, bounded, and refused in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from ood_bench.errors import RequestError
from ood_bench.parameters import Range, build, make, parameters_of, values_of


@dataclass(frozen=True)
class Many:
    """One parameter of each kind."""

    count: Annotated[int, Range(1)] | None = None
    share: Annotated[float, Range(0, 1, above=True)] = 0.5
    size: Annotated[int, Range(2)] | Literal["auto", "all"] = "auto"
    branch: Literal["softmax", "taylor"] | None = None
    exact: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class Needy:
    """A parameter without a default, and a rule of its own."""

    width: int
    height: int = 1

    def __post_init__(self) -> None:
        if self.height > self.width:
            raise ValueError(f"height should be at most width {self.width}, got {self.height}")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, Many()),
        ({"count": "3"}, Many(count=3)),
        ({"count": "none"}, Many(count=None)),
        ({"size": "all"}, Many(size="all")),
        ({"size": "20"}, Many(size=20)),
        ({"branch": "taylor"}, Many(branch="taylor")),
        ({"exact": "true"}, Many(exact=True)),
        ({"scale": "1e+5"}, Many(scale=1e5)),
        ({"scale": "-3"}, Many(scale=-3.0)),
        ({"share": "1"}, Many(share=1.0)),
    ],
)
def test_texts_become_values_of_the_annotated_types(texts: dict[str, str], expected: Many) -> None:
    built = build(Many, texts, "many")
    assert built == expected
    assert {name: type(value) for name, value in values_of(built).items()} == {
        name: type(value) for name, value in values_of(expected).items()
    }


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({"count": "0"}, r"many: count takes .*1 <= value.*got 0"),
        ({"count": "2.5"}, r"many: count takes .*whole number.*got '2.5'"),
        ({"share": "0"}, r"many: share takes a number \(0 < value <= 1\), got 0"),
        ({"share": "nan"}, r"many: share takes .*got nan"),
        ({"size": "half"}, r"many: size takes .*auto or all.*got 'half'"),
        ({"branch": "other"}, r"many: branch takes .*softmax or taylor.*got 'other'"),
        ({"exact": "1"}, r"many: exact takes true or false, got '1'"),
        ({"counts": "1"}, r"no parameter of many is named 'counts' \(did you mean 'count'\?\)"),
    ],
)
def test_what_the_type_refuses(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        build(Many, texts, "many")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"count": True}, "count takes .* got True"),
        ({"count": 0}, "count takes .* got 0"),
        ({"exact": "true"}, "exact takes true or false, got 'true'"),
        ({"size": "half"}, "size takes .* got 'half'"),
        ({"scale": None}, "scale takes a number, got None"),
    ],
)
def test_values_from_python_are_checked_alike(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        make(Many, values, "many")  # type: ignore[arg-type]  # the point of the test


def test_an_infinite_number_is_out_of_every_bound_that_has_an_end() -> None:
    assert 0.0 in Range(0, 1)
    assert float("inf") not in Range(0, 1)
    assert float("nan") not in Range()


def test_a_scorers_own_rule_and_a_missing_value_are_sentences() -> None:
    with pytest.raises(RequestError, match="needy: height should be at most width 2, got 3"):
        build(Needy, {"width": "2", "height": "3"}, "needy")
    with pytest.raises(RequestError, match=r"needy needs a value for width, e.g. needy:width="):
        build(Needy, {}, "needy")


def test_a_parameter_says_what_it_takes() -> None:
    said = {parameter.name: parameter.describe() for parameter in parameters_of(Many)}
    assert said["size"] == "auto or all or a whole number (2 <= value)"
    assert said["share"] == "a number (0 < value <= 1)"
    assert [parameter.name for parameter in parameters_of(Needy) if parameter.required] == ["width"]


def test_a_type_that_no_command_line_can_give_is_refused_where_it_is_declared() -> None:
    @dataclass(frozen=True)
    class Wrong:
        parts: list[int]

    with pytest.raises(TypeError, match="a hyper-parameter is bool, int, float, str, None or a Literal"):
        parameters_of(Wrong)
