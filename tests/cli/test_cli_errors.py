"""Bad input: one clear sentence on stderr, exit code 2 (1 where a scorer failed), no traceback, nothing written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_content import content
from npz_folder import FLAGS, write_folder
from support import problem

Command = Callable[..., Any]
GIVEN = problem()


def refused(done: Any, sentence: str, *, code: int = 2) -> None:
    """One sentence that says it, and nothing else."""
    assert done.code == code, done
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = [line for line in done.err.splitlines() if not line.startswith(("Usage:", "Try "))]
    lines = [line for line in lines if line.strip()]
    assert len(lines) == 1, done.err
    assert lines[0].startswith("Error: ")
    assert re.search(sentence, lines[0]), lines[0]


# -- import --------------------------------------------------------------------------------------------------------------


def changed(folder: Path, name: str, **arrays: Any) -> None:
    file = folder / f"{name}.npz"
    there = dict(np.load(file))
    np.savez(file, **{key: value for key, value in (there | arrays).items() if value is not None})


def _with_nan(folder: Path) -> None:
    features = np.load(folder / "near.npz")["features"].copy()
    features[41, 3] = np.nan
    changed(folder, "near", features=features)


def _with_infinity(folder: Path) -> None:
    logits = np.load(folder / "test.npz")["logits"].copy()
    logits[7, 0] = np.inf
    changed(folder, "test", logits=logits)


def _with_label(folder: Path, value: int) -> None:
    labels = np.load(folder / "test.npz")["labels"].copy()
    labels[5] = value
    changed(folder, "test", labels=labels)


def _truncated(folder: Path) -> None:
    file = folder / "far.npz"
    file.write_bytes(file.read_bytes()[:-200])


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "NaN in features": (_with_nan, r"near.*`features` should be finite, but holds NaN at row 41"),
    "infinite logits": (_with_infinity, r"test.*`logits` should be finite, but holds an infinite value at row 7"),
    "K is not the head's": (
        lambda folder: changed(folder, "head", W=GIVEN.weight[:5].astype(np.float32), b=GIVEN.bias[:5]),
        r"logits have K = 7 columns and the head has K = 5 classes; give the head that made",
    ),
    "d is not the head's": (
        lambda folder: changed(folder, "head", W=GIVEN.weight[:, :9].astype(np.float32)),
        r"features have d = 24 columns and the head expects d = 9",
    ),
    "label K": (
        lambda folder: _with_label(folder, 7),
        r"test.*labels of an ID set should be in 0\.\.6.*got 7 at row 5",
    ),
    "label -2": (lambda folder: _with_label(folder, -2), r"labels of an ID set should be in 0\.\.6.*got -2 at row 5"),
    "an empty set": (
        lambda folder: changed(
            folder, "far", **{key: np.load(folder / "far.npz")[key][:0] for key in ("features", "logits", "labels")}
        ),
        r"far.*should have at least one row, but it is empty",
    ),
    "a truncated file": (_truncated, r"far\.npz"),
    "a missing file": (lambda folder: (folder / "far.npz").unlink(), r"'far'.*there are: |far"),
    "rows that differ in number": (
        lambda folder: changed(folder, "far", labels=np.zeros(3, dtype=np.int64)),
        r"far.*`labels` has 3 rows where|far.*3",
    ),
    "a head without W": (lambda folder: changed(folder, "head", W=None), r"head\.npz.*W"),
    "labels that are no integers": (
        lambda folder: changed(folder, "test", labels=np.full(60, 0.5)),
        r"test.*`labels` should be integers, got",
    ),
}


@pytest.mark.parametrize("what", BAD_FOLDERS)
def test_bad_tensors_are_named_and_nothing_is_written(command: Command, tmp_path: Path, what: str) -> None:
    spoil, sentence = BAD_FOLDERS[what]
    folder = write_folder(tmp_path / "tensors")
    spoil(folder)
    place = tmp_path / "new-home"
    refused(command("import", folder, "--model", "net", "--suite", "mine", *FLAGS, "--home", place), sentence)
    assert not place.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--suite", "digits", "--test", "test"], "'digits' is a suite that ships with ood-bench"),
        (["--suite", "Mine!", "--test", "test"], "a suite's name is made of a-z, 0-9"),
        (["--suite", "mine", "--test", "tset"], r"tset.*did you mean.*test"),
        (["--suite", "mine", "--test", "test", "--near", "test"], "test"),
        (["--suite", "mine", "--test", "test", "--val-from-fit", "0.1"], "val-from-fit|fit"),
        (["--suite", "mine", "--fit", "train", "--test", "test", "--val-from-fit", "1.5"], "1.5"),
        (["--suite", "mine", "--roles", "absent.toml"], "absent.toml"),
    ],
)
def test_bad_requests_of_an_import(
    command: Command, tensors: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    place = tmp_path / "new-home"
    refused(command("import", tensors, "--model", "net", *arguments, "--home", place), sentence)
    assert not place.exists()


def test_a_folder_that_is_not_there(command: Command, tmp_path: Path) -> None:
    refused(command("import", tmp_path / "absent", "--model", "m", "--suite", "s", "--test", "t"), "absent")


# -- run -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--suite", "mine", "--scorer", "vmi"], r"no scorer is named 'vmi' \(did you mean 'vim'"),
        (["--suite", "mine", "--model", "nte"], r"nte"),
        (["--model", "nte"], r"no model is named 'nte' \(did you mean 'net'\?\); there are: .*net"),
        (["--suite", "mnie"], r"no suite is named 'mnie' \(did you mean 'mine'.*\); there are: digits, .*mine"),
        (["--suite", "mine", "--scorer", "vim:dim=0"], r"vim: dim takes .*got 0"),
        (["--suite", "mine", "--scorer", "knn:k=many"], r"knn: k takes .*got 'many'"),
        (["--suite", "mine", "--scorer", "knn:neighbours=3"], r"no parameter of knn is named 'neighbours'"),
        (["--suite", "mine", "--scorer", "msp,energy"], r"no scorer is named 'msp,energy'"),
        (["--suite", "mine", "--profile", "openood"], r"no profile is named 'openood' \(did you mean"),
        (
            ["--suite", "mine", "--plugin", "absent.py"],
            r"--plugin expects a Python file, but there is none at absent.py",
        ),
        (["--suite", "mine", "--memory", "lots"], r"expects a size such as 2GiB or 512MiB, got 'lots'"),
        (["--suite", "mine", "--memory", "1k"], r"expects at least 1MiB, got '1k'"),
        (["--suite", "mine", "--device", "tpu"], r"'tpu'"),
        (["--suite", "mine", "--model-seed", "3"], r"net"),
        (["--suit", "mine"], r"No such option.*--suit"),
        (["mine"], r"unexpected extra argument"),
    ],
)
def test_a_request_that_cannot_be_met_writes_nothing(
    command: Command, home: Path, arguments: list[str], sentence: str
) -> None:
    before = content(home)
    done = command("run", "--task", "ood", *arguments)
    if "no banks of" in done.err:  # this one shows the commands that make them, over several lines
        assert (done.code, done.out) == (2, "")
        assert re.search(sentence, done.err)
        assert "Traceback" not in done.err
    else:
        refused(done, sentence)
    assert content(home) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so --device cuda is no error")
def test_cuda_without_a_gpu(command: Command, home: Path) -> None:
    before = content(home)
    sentence = "--device cuda expects a CUDA GPU, but torch sees none here; use --device cpu"
    refused(command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp", "--device", "cuda"), sentence)
    assert content(home) == before


def test_an_impossible_value_fails_its_scorer_and_the_others_finish(command: Command, home: Path) -> None:
    done = command("run", "--task", "ood", "--suite", "mine", "--scorer", "vim:dim=1000", "--scorer", "msp", "--json")
    assert done.code == 1
    assert [one["reason"] for one in done.json["failed"]] == ["vim needs 0 < dim < 24 (the feature size), got dim=1000"]
    status = {row["scorer"]: row["status"] for row in done.json["rows"] if row["set"] == "near"}
    assert status == {"vim": "failed", "msp": "ok"}
    assert "Traceback" not in done.err
    alone = command("run", "--task", "ood", "--suite", "mine", "--scorer", "vim:dim=1000")
    assert alone.code == 1
    assert "vim needs 0 < dim < 24 (the feature size), got dim=1000" in " ".join(alone.out.split())
    records = [json.loads(path.read_text()) for path in (home / "records").rglob("*.json")]
    assert {record["spec"] for record in records} == {"msp"}


def shard_of(home: Path, name: str) -> Path:
    (folder,) = (home / "banks" / "net").glob(f"{name}@*")
    return next(iter(sorted(folder.glob("shard-*.safetensors"))))


def _cut(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-100])


def _flip(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[-37] ^= 1
    shard.write_bytes(data)


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink])
@pytest.mark.parametrize("name", ["train", "test", "far"])
def test_a_damaged_shard_is_named_with_what_to_do(command: Command, home: Path, name: str, damage: Any) -> None:
    shard = shard_of(home, name)
    damage(shard)
    before = content(home)
    refused(
        command("run", "--task", "ood", "--suite", "mine", "--scorer", "vim", "--scorer", "msp"), re.escape(shard.name)
    )
    scored = {json.loads(path.read_text())["set"] for path in (home / "records").rglob("*.json")}
    assert name not in scored
    if name == "train":
        assert content(home) == before


def test_after_the_remedy_the_same_run_goes_through(command: Command, home: Path, tensors: Path) -> None:
    _flip(shard_of(home, "far"))
    assert command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp").code == 2
    again = ("import", tensors, "--model", "net", "--suite", "mine", *FLAGS, "--replace")
    assert command(*again).code == 0
    assert command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp").code == 0


@pytest.mark.parametrize(
    ("line", "instead", "sentence"),
    [
        ("[roles]", "colour = 'red'\n[roles]", r"unknown key 'colour'"),
        ('test = "test"', 'tset = "test"', r"unknown key 'tset' \(did you mean 'test'\?\)"),
        ("schema = 1", "schema = 9", r"schema"),
        ("[roles]", "[roles", r"should be a TOML file"),
        ('name = "mine"', 'name = "yours"', r"file name and suite name should be the same"),
    ],
)
def test_a_suite_with_an_unknown_key_or_none_at_all(
    command: Command, home: Path, line: str, instead: str, sentence: str
) -> None:
    file = home / "suites" / "mine.toml"
    text = file.read_text()
    assert line in text
    file.write_text(text.replace(line, instead, 1))
    before = content(home)
    for request in (("run", "--suite", "mine", "--scorer", "msp"), ("list", "suites"), ("table", "--suite", "mine")):
        refused(command(*request), sentence)
    assert content(home) == before


@pytest.mark.parametrize("where", ["home-is-a-file", "inside-a-file", "proc"])
@pytest.mark.parametrize("what", ["import", "run"])
def test_a_home_that_cannot_be_written(command: Command, tensors: Path, tmp_path: Path, where: str, what: str) -> None:
    (tmp_path / "file").write_text("in the way")
    place = {
        "home-is-a-file": tmp_path / "file",
        "inside-a-file": tmp_path / "file" / "home",
        "proc": Path("/proc/nothing"),
    }[where]
    if where == "proc" and not Path("/proc/self").is_dir():
        pytest.skip("there is no /proc here, where not even root may make a folder")
    request = ("run",) if what == "run" else ("import", tensors, "--model", "net", "--suite", "mine", *FLAGS)
    refused(command(*request, "--home", place), rf"{re.escape(str(place))}.*--home")
    assert (tmp_path / "file").read_text() == "in the way"


def test_records_that_cannot_be_written(command: Command, home: Path) -> None:
    shutil.rmtree(home / "records", ignore_errors=True)
    (home / "records").write_text("in the way")
    refused(
        command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp"), r"cannot (write|list) .*records.*--home"
    )
    assert not list((home / "runs").glob("*")) if (home / "runs").exists() else True


# -- table, list, leaderboard --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table", "--suite", "mnie"], "no suite is named 'mnie'"),
        (["table", "--run", "20200101T000000Z-abcdef"], "no run is named '20200101T000000Z-abcdef'"),
        (["table", "--run", "../../etc"], r"no run is named '\.\./\.\./etc'"),
        (["table", "--suite", "mine", "--metric", "aurocs"], "aurocs"),
        (["table", "--suite", "mine", "--format", "word"], "'word'"),
        (["leaderboard", "export", "--suite", "mnie", "--out", "boards"], "no suite is named 'mnie'"),
        (["bank", "verify", "--model", "nte"], "no such bank"),
        (["list", "scorer"], "scorer"),
        (["rnu"], "rnu"),
        (["check-scorer", "absent.py"], "there is none at absent.py"),
    ],
)
def test_other_commands_refuse_in_a_sentence_too(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp")
    before = content(tmp_path)
    refused(command(*arguments), sentence)
    assert content(tmp_path) == before


def test_a_damaged_record_or_run_is_named(command: Command, home: Path) -> None:
    assert command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp").code == 0
    record = next(iter((home / "records").rglob("*.json")))
    whole = record.read_bytes()
    record.write_bytes(whole[:50])
    refused(command("table", "--suite", "mine"), re.escape(record.name))
    refused(command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp"), re.escape(record.name))
    record.write_bytes(whole)
    scores = next(iter((home / "records").rglob("*.safetensors")))
    _flip(scores)
    refused(command("table", "--suite", "mine"), re.escape(scores.name))


def test_a_plugin_is_told_apart_from_its_mistakes(command: Command, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import nothing_of_this_name\n")
    before = content(home)
    refused(
        command("run", "--task", "ood", "--suite", "mine", "--plugin", file),
        r"mine\.py does not import: ModuleNotFoundError",
    )
    refused(command("check-scorer", file), r"mine\.py does not import")
    refused(command("list", "scorers", "--plugin", file), r"mine\.py does not import")
    assert content(home) == before


def test_the_real_process_says_the_same(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ood_bench", "run", "--task", "ood", "--suite", "mine", "--scorer", "vmi"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: no scorer is named 'vmi' (did you mean 'vim'")
    assert done.stderr.count("\n") == 1
