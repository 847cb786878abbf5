"""What `leaderboards/` publishes follows from its scores, and comes out again when it is rebuilt."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ood_bench.cli.leaderboard import known_suites
from ood_bench.home import Home
from ood_bench.registry import load_all
from ood_bench.store.leaderboard import read
from ood_bench.store.leaderboard_check import check
from ood_bench.store.merging import SCORES
from ood_bench.store.row import Row
from ood_bench.store.submission import opened

FOLDER = Path(__file__).parents[2] / "leaderboards"
# quick ones of different kinds: of logits, of features, with a fit, with a rectifier
QUICK = ["msp", "energy", "gen", "react+energy", "mds", "vim"]


def _rebuild() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rebuild_leaderboards", FOLDER / "rebuild.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


rebuild = _rebuild()


def published(name: str) -> list[Row]:
    return read(FOLDER / f"{name}.records.jsonl")


@pytest.mark.parametrize("name", rebuild.NAMES)
def test_a_published_table_stands_its_check(name: str, tmp_path: Path) -> None:
    table = FOLDER / f"{name}.csv"
    report = check(table, suites=known_suites([name], FOLDER, Home(tmp_path)))
    assert report.findings == ()
    assert report.unverified == ()
    assert report.rows > 100
    assert {row.origin for row in read(table)} <= {"ours", None}  # None: nothing could be scored


def test_every_number_of_digits_follows_from_its_stored_scores(tmp_path: Path) -> None:
    with opened(FOLDER / f"digits{SCORES}") as scores:
        report = check(FOLDER / "digits.csv", stores=[scores], suites=known_suites(["digits"], FOLDER, Home(tmp_path)))
    assert report.findings == ()
    numbers = [row for row in published("digits") if row.sources]
    assert (report.recomputed, report.rows - report.recorded) == (len(numbers), len(numbers))


@pytest.mark.parametrize("name", rebuild.NAMES)
def test_every_scorer_that_ships_is_in_the_table(name: str) -> None:
    load_all()
    missing = set(rebuild.shipped_specs()) - {row.scorer for row in published(name)}
    assert not missing, f"{name} lacks {sorted(missing)}; python leaderboards/rebuild.py {name}"


@pytest.mark.parametrize("name", rebuild.BOARDS)
def test_numbers_from_banks_come_out_again(name: str, shared: Path, tmp_path: Path) -> None:
    _, rows = rebuild.results(name, Home(tmp_path), shared, QUICK)
    assert len(rows) == len(QUICK) * (len(rebuild.BOARDS[name].near) + len(rebuild.BOARDS[name].far) + 2)
    assert rebuild.differences(published(name), rows, 1e-6) == []


def test_digits_trained_again_is_close(tmp_path: Path) -> None:
    _, rows = rebuild.results("digits", Home(tmp_path), FOLDER, QUICK)
    assert rebuild.differences(published("digits"), rows, 0.01, same=False) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", rebuild.BOARDS)
def test_all_numbers_from_banks_come_out_again(name: str, shared: Path, tmp_path: Path) -> None:
    _, rows = rebuild.results(name, Home(tmp_path), shared)
    assert rebuild.differences(published(name), rows, 1e-6) == []
