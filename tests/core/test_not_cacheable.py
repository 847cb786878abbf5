"""Methods that a cache cannot answer are listed with the reason, and asking for one says it."""

from __future__ import annotations

import json

import pytest

from ood_bench.cli import main
from ood_bench.errors import RequestError
from ood_bench.not_cacheable import NOT_CACHEABLE
from ood_bench.registry import SCORERS, load_all
from ood_bench.specs import parse_spec


def listing(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["list", "scorers", *words])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_none_of_them_is_registered() -> None:
    load_all()
    assert not {*SCORERS.entries, *SCORERS.aliases} & NOT_CACHEABLE.keys()


def test_they_are_listed_with_the_reason_when_all_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    plain = json.loads(listing(capsys, "--json"))["scorers"]
    everything = json.loads(listing(capsys, "--all", "--json"))["scorers"]
    assert {row["name"] for row in everything} - {row["name"] for row in plain} == set(NOT_CACHEABLE)
    absent = [row for row in everything if row["status"] != "ready"]
    assert all("import-scores" in row["reason"] and row["paper"] for row in absent)
    assert {"odin", "gram", "rankfeat", "adascale-a", "nac", "gradnorm-layers"} <= {row["name"] for row in absent}
    assert "rankfeat" in listing(capsys, "--all")
    assert "rankfeat" not in listing(capsys)


def test_asking_for_one_says_why() -> None:
    load_all()
    with pytest.raises(RequestError, match=r"odin cannot be computed from a cache: it perturbs the image .* odin-t is"):
        parse_spec("odin")
