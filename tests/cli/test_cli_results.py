"""The commands on results, from a shell's point of view: what they print, and their exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from store_cases import bank, put

from ood_bench.cli import cli, main
from ood_bench.home import Home
from ood_bench.store.store import Store
from ood_bench.suites import SetSpec, Suite, write_suite

SIZES = {"test": 60, "a": 40, "b": 30, "c": 50}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, unlike that of the other tests of commands."""
    monkeypatch.setenv("OOD_BENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Store:
    """Three scorers of one checkpoint on a suite of the user's own; msp and its double are equal."""
    place = Home(home)
    sets = {name: SetSpec(name, count=n) for name, n in SIZES.items()}
    groups = {"near": ("a", "b"), "far": ("c",)}
    write_suite(place, Suite(name="toy", source=home, origin="home", test="test", groups=groups, sets=sets))
    store = Store(place)
    for scorer, strength in (("msp", 1.0), ("double", 1.0), ("energy", 2.0)):
        draw = np.random.default_rng(3)
        for name, n in SIZES.items():
            put(store, draw.normal(strength * (name == "test"), 1, n), name, scorer=scorer)
    store.put_outcomes(bank("test"), np.arange(60) % 3, np.arange(60) % 4)
    return store


def called(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return (result.return_value if isinstance(result.return_value, int) else 0), result.output


def test_compare(store: Store, tmp_path: Path) -> None:
    code, text = called("compare", "energy", "msp", "--suite", "toy", "--svg", str(tmp_path / "cd.svg"))
    assert code == 0
    assert "energy against msp: 3 won, 0 tied, 0 lost" in text
    assert "worst backbone" in text
    assert (tmp_path / "cd.svg").read_text().startswith("<svg")
    _, text = called("compare", "msp", "double", "--suite", "toy", "--json")
    assert json.loads(text)["tallies"] == [{"first": "msp", "second": "double", "wins": 0, "ties": 3, "losses": 0}]
    _, text = called("compare", "all", "--suite", "toy")
    assert "average rank over 3 blocks" in text


def test_a_leaderboard_from_export_to_tampering(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board"
    called("leaderboard", "export", "--suite", "toy", "--out", str(board))
    code, text = called("leaderboard", "check", str(board))
    assert code == 0
    assert "15 rows: 15 follow from stored scores, 0 agree with their records alone, 0 unverified; no findings" in text
    shutil.copy(board / "toy.csv", tmp_path / "old.csv")
    lines = (board / "toy.csv").read_text().splitlines()
    auroc = lines[1].split(",")[15]
    assert auroc.startswith("0.")
    lines[1] = lines[1].replace(auroc, "0.999999")
    (board / "toy.csv").write_text("\n".join(lines) + "\n")
    code, text = called("leaderboard", "check", str(board / "toy.csv"), "--base", str(tmp_path / "old.csv"), "--json")
    (table,) = json.loads(text)["tables"]
    assert code == 1
    assert "line 2 (double on net, set c): auroc is 0.999999, its record says" in table["findings"][0]
    assert f"auroc {auroc} -> 0.999999" in table["changes"][0]
    (board / "toy.records.jsonl").unlink()
    (board / "toy.csv").write_text((tmp_path / "old.csv").read_text().replace(",energy,", ",mine,"))
    code, text = called("leaderboard", "check", str(board))
    assert code == 1
    assert "unverified: line 7 (mine on net, set c)" in text
    assert called("leaderboard", "check", str(board), "--allow-unverified")[0] == 0
    with pytest.raises(SystemExit, match="2"):
        main(["leaderboard", "check", str(tmp_path / "none.csv")])
    assert "a leaderboard should be at" in capsys.readouterr().err


def test_unverified_rows_alone_may_be_allowed(store: Store, tmp_path: Path) -> None:
    called("leaderboard", "export", "--suite", "toy", "--out", str(tmp_path))
    (tmp_path / "toy.records.jsonl").unlink()
    shutil.rmtree(store.home.records)
    assert called("leaderboard", "check", str(tmp_path / "toy.csv"))[0] == 1
    assert called("leaderboard", "check", str(tmp_path / "toy.csv"), "--allow-unverified")[0] == 0


def test_submit_and_merge(store: Store, tmp_path: Path) -> None:
    _, text = called("leaderboard", "submit", "--suite", "toy", "--scorer", "msp", "--out", str(tmp_path / "s.zip"))
    assert "4 records of toy" in text
    _, text = called("leaderboard", "merge", str(tmp_path / "s.zip"), "--into", str(tmp_path / "board"))
    assert "5 new rows, 0 replaced, 0 there already" in text
    # somebody else, who has neither scores nor suite
    elsewhere = str(tmp_path / "elsewhere")
    code, text = called("leaderboard", "check", str(tmp_path / "board"), "--home", elsewhere)
    assert (code, "5 agree with their records alone" in text) == (0, True)
    code, text = called(
        "leaderboard", "check", str(tmp_path / "board"), "--home", elsewhere, "--scores", str(tmp_path / "s.zip")
    )
    assert (code, "5 follow from stored scores" in text) == (0, True)


def test_external(store: Store, tmp_path: Path) -> None:
    header = "Training,Postprocessor,Near-OOD_AUROC,Far-OOD_AUROC,ID_Accuracy,Outlier_Data,Arch,Additional_Description"
    path = tmp_path / "imagenet1k_ood.csv"
    path.write_text(f"{header}\nCrossEntropy,EBO,50.00,60.00,76,No,ResNet50,\nISH,CombOOD,95,90,76,No,Swin-T,\n")
    ours = ("--suite", "toy", "--model", "net", "--json")
    _, text = called("leaderboard", "external", str(path), *ours)
    rows = json.loads(text)["rows"]
    assert [row["scorer"] for row in rows] == ["energy", "energy", "combood", "combood"]
    assert rows[0]["difference"] == pytest.approx(rows[0]["ours"] - 0.5)
    assert "known bad" in rows[2]["reason"]
    _, text = called("leaderboard", "external", str(path), "--arch", "ResNet50", "--csv")
    assert [line["origin"] for line in csv.DictReader(io.StringIO(text))] == ["external", "external"]


def test_scores_of_single_samples(store: Store) -> None:
    _, text = called("scores", "--suite", "toy", "--scorer", "energy", "--set", "a", "--worst", "3", "--json")
    samples = json.loads(text)["samples"]
    values = np.random.default_rng(3).normal(0, 1, 100)[60:].astype(np.float32)
    assert [sample["row"] for sample in samples] == np.argsort(-values)[:3].tolist()
    assert samples[0]["score"] == pytest.approx(float(values.max()))
    _, text = called("scores", "--suite", "toy", "--scorer", "energy", "--set", "test", "--worst", "2", "--csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert list(lines[0]) == ["row", "id", "score", "percentile", "predicted", "label"]
    assert float(lines[0]["score"]) < float(lines[1]["score"])
    row = int(lines[0]["row"])
    assert (int(lines[0]["predicted"]), int(lines[0]["label"])) == (row % 3, row % 4)
    assert float(lines[0]["percentile"]) == pytest.approx(0.5 / 60)


def test_recommend_and_cite(store: Store) -> None:
    _, text = called("recommend", "--suite", "toy", "--model", "net")
    assert "n = 60 ID and 120 OOD samples in 3 sets" in text
    assert "Recommended: energy" in text
    _, text = called("recommend", "--suite", "toy", "--model", "never-seen-vit", "--json")
    assert json.loads(text)["basis"] == "all"
    _, text = called("cite", "--suite", "toy", "--scorer", "msp", "--scorer", "double")
    assert "@misc{hendrycks2017" in text
    assert "% scorer double: no paper is known" in text


def test_the_store_is_checked_merged_and_tidied(store: Store, tmp_path: Path) -> None:
    assert "12 records, 1 outcomes, 0 runs: clean" in called("store", "check")[1]
    other = str(tmp_path / "other")
    assert "12 new records, 0 there already" in called("store", "merge", str(store.home.root), "--home", other)[1]
    assert "0 new records, 12 there already" in called("store", "merge", str(store.home.root), "--home", other)[1]
    path = next(store.home.records.rglob("*.json"))
    path.unlink()
    assert "1 files" in called("store", "gc", "--dry-run", "--older-than", "0")[1]
    assert len(list(store.home.records.rglob("*.safetensors"))) == 12
    called("store", "gc", "--older-than", "0")
    assert len(list(store.home.records.rglob("*.safetensors"))) == 11
    next(store.home.records.rglob("*.safetensors")).write_bytes(b"x")
    code, text = called("store", "check", "--json")
    assert (code, len(json.loads(text)["damaged"])) == (1, 1)


def test_recompute_finds_a_kept_interval_that_is_wrong(store: Store) -> None:
    code, text = called("recompute", "--suite", "toy")
    assert code == 0
    assert "toy" in text
    path = next((store.home.root / "derived").rglob("*.json"))
    path.write_text(path.read_text().replace('"high": 0.', '"high": 0.0'))
    code, text = called("recompute", "--json")
    assert code == 1
    assert "the kept interval of" in json.loads(text)["changed"][0]
    assert called("recompute")[0] == 0


def test_import_scores_and_the_filters_of_runs(home: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", test__conf=np.array([3.0, 2.0]), svhn__conf=np.array([1.0]))
    common = ("import-scores", str(tmp_path / "s.npz"), "--suite", "mine", "--model", "net")
    _, text = called(*common, "--scorer", "gram", "--param", "powers=5")
    assert "suite mine was made" in text
    code, text = called("table", "--suite", "mine")
    assert (code, "gram (imported)" in text) == (0, True)
    called(*common, "--scorer", "combood", "--negate")

    def names(*options: str) -> int:
        return len(json.loads(called("list", "runs", "--json", *options)[1])["runs"])

    assert names() == 2
    assert (names("--scorer", "gram"), names("--scorer", "gram:powers=5"), names("--scorer", "vim")) == (1, 1, 0)
    assert (names("--suite", "mine"), names("--suite", "toy"), names("--model", "net")) == (2, 0, 2)
    assert (names("--since", "2020-01-01"), names("--since", "2999-01-01"), names("--failed")) == (2, 0, 0)


def test_a_query_answers(store: Store) -> None:
    pytest.importorskip("duckdb", reason="queries need the extra `query`")
    _, text = called("query", "SELECT scorer, count(*) AS n FROM records GROUP BY 1 ORDER BY 1", "--json")
    assert json.loads(text)["lines"] == [["double", 4], ["energy", 4], ["msp", 4]]


def test_results_are_read_without_torch() -> None:
    modules = ("compare", "leaderboard", "query", "store", "scores", "recommend")
    names = ", ".join(f"ood_bench.cli.{module}" for module in modules)
    program = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
