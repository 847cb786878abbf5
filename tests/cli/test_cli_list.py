"""`ood-bench list`: for people a table, for programs {"schema": 1, X: [...]} alone on stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
LISTS = ("scorers", "estimators", "models", "suites", "sets", "banks", "runs")


@pytest.mark.parametrize("what", LISTS)
def test_the_document_of_every_list(command: Command, home: Path, what: str) -> None:
    command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp")
    done = command("list", what, "--json")
    assert (done.code, done.err) == (0, "")
    assert set(done.json) == {"schema", what}
    assert done.json["schema"] == 1
    names = [item["name"] for item in done.json[what]]
    if what != "estimators":
        assert names
    plain = command("list", what)
    assert (plain.code, plain.err) == (0, "")
    for name in names[:5]:
        assert name in plain.out


def test_scorers_carry_what_the_design_promises(command: Command) -> None:
    scorers = {item["name"]: item for item in command("list", "scorers", "--json").json["scorers"]}
    for name, item in scorers.items():
        assert {"aliases", "family", "needs", "assumes", "paper", "params", "version"} <= set(item), name
        assert isinstance(item["version"], int)
        assert item["origin"] == "ours"
    assert scorers["vim"]["needs"] == ["logits", "features", "head", "fit"]
    assert scorers["maxlogit"]["aliases"]
    assert "mds++" in scorers["mds-pp"]["aliases"]
    assert scorers["react"]["kind"] == "rectifier"
    (k,) = [one for one in scorers["knn"]["params"] if one["name"] == "k"]
    assert (k["default"], k["required"]) == ("auto", False)
    assert "1 <= value" in k["takes"]


def test_suites_shipped_and_own_are_alike(command: Command, home: Path) -> None:
    suites = {item["name"]: item for item in command("list", "suites", "--json").json["suites"]}
    digits, mine = suites["digits"], suites["mine"]
    assert digits.keys() == mine.keys()
    assert (digits["origin"], mine["origin"]) == ("shipped", "home")
    assert mine["groups"] == {"near": ["near"], "far": ["far", "wide"]}
    assert (mine["fit"], mine["val"], mine["test"]) == ("train", "held", "test")
    assert mine["models"] == ["net"]


def test_models_sets_and_banks(command: Command, home: Path) -> None:
    models = {item["name"]: item for item in command("list", "models", "--json").json["models"]}
    assert models["net"]["banks"] == 6
    assert models["net"]["suites"] == ["mine"]
    assert models["digits-cnn"]["banks"] == 0
    sets = {(item["suite"], item["name"]): item for item in command("list", "sets", "--json").json["sets"]}
    assert sets["mine", "wide"]["role"] == "far"
    assert sets["mine", "train"]["count"] == 400
    banks = {item["set"]: item for item in command("list", "banks", "--json").json["banks"]}
    assert set(banks) == {"train", "held", "test", "near", "far", "wide"}
    assert {(bank["d"], bank["K"], bank["state"]) for bank in banks.values()} == {(24, 7, "whole")}
    assert banks["train"]["rows"] == 400
    assert len(banks["train"]["bank_sha256"]) == 64
    (folder,) = (home / "banks" / "net").glob("far@*")
    (folder / "manifest.json").unlink()
    after = {item["set"]: item for item in command("list", "banks", "--json").json["banks"]}
    assert after[folder.name]["state"] == "interrupted"


def test_runs_the_newest_last_and_an_empty_home(command: Command, home: Path, tmp_path: Path) -> None:
    for scorer in ("msp", "vim:dim=1000"):
        command("run", "--task", "ood", "--suite", "mine", "--scorer", scorer)
    runs = command("list", "runs", "--json").json["runs"]
    assert len(runs) == 2
    assert sorted((run["scores"], run["failed"]) for run in runs) == [(0, 1), (4, 0)]
    empty = tmp_path / "empty"
    assert command("list", "runs", "--home", empty, "--json").json == {"schema": 1, "runs": []}
    assert "There are no banks yet." in command("list", "banks", "--home", empty).out
    assert not empty.exists()


def test_a_plugin_is_listed_with_its_origin(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom ood_bench import scorer\n\n\n@scorer('own-one')\n"
        "@dataclass(frozen=True)\nclass Own:\n    '''Mine.'''\n\n"
        "    def score(self, batch):\n        return batch.max_logit\n"
    )
    listed = command("list", "scorers", "--plugin", file, "--json").json["scorers"]
    (own,) = [item for item in listed if item["name"] == "own-one"]
    assert (own["origin"], own["summary"], own["paper"]) == ("plugin", "Mine.", "")
