"""`ood-bench import`: a folder becomes banks and a suite; the same again is nothing new; other content is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cli_content import content
from npz_folder import FLAGS, write_folder

Command = Callable[..., Any]


def test_the_document_of_an_import(command: Command, tensors: Path, tmp_path: Path) -> None:
    request = ("import", tensors, "--model", "net", "--suite", "mine", *FLAGS, "--home", tmp_path / "home", "--json")
    done = command(*request)
    assert (done.code, done.err) == (0, "")
    assert done.json["schema"] == 1
    assert (done.json["suite"], done.json["model"]) == ("mine", "net")
    banks = {bank["set"]: bank for bank in done.json["banks"]}
    assert {name: (bank["role"], bank["n"]) for name, bank in banks.items()} == {
        "train": ("fit", 400),
        "held": ("val", 200),
        "test": ("test", 60),
        "near": ("near", 60),
        "far": ("far", 60),
        "wide": ("far", 60),
    }
    for bank in banks.values():
        assert not bank["already"]
        assert 0 < bank["head_error"] < 1e-4
    before = content(tmp_path / "home")
    again = command(*request)
    assert all(bank["already"] for bank in again.json["banks"])
    assert content(tmp_path / "home") == before


def test_what_a_person_reads(command: Command, tensors: Path, tmp_path: Path) -> None:
    request = ("import", tensors, "--model", "net", "--suite", "mine", "--test", "test", "--far", "far")
    done = command(*request, "--home", tmp_path / "home")
    assert "test: 60 rows, d=24, K=7, head error " in done.out
    assert "without a role, not imported: held, near, train, wide" in done.out
    assert done.out.splitlines()[-1] == "Next: ood-bench run --suite mine --model net"
    again = command(*request, "--home", tmp_path / "home")
    assert "Nothing new: the same import was done before." in again.out


def test_any_role_may_be_missing_and_what_needs_it_says_which_flag(
    command: Command, tensors: Path, tmp_path: Path
) -> None:
    place = tmp_path / "home"
    assert (
        command(
            "import", tensors, "--model", "net", "--suite", "bare", "--test", "test", "--far", "far", "--home", place
        ).code
        == 0
    )
    done = command(
        "run",
        "--task",
        "ood",
        "--suite",
        "bare",
        "--scorer",
        "vim",
        "--scorer",
        "tempscale",
        "--scorer",
        "msp",
        "--json",
        "--home",
        place,
    )
    assert done.code == 0
    reasons = {one["scorer"]: one["reason"] for one in done.json["skipped"]}
    assert "--fit" in reasons["vim"]
    assert "--val" in reasons["tempscale"]
    assert {row["scorer"] for row in done.json["rows"] if row["status"] == "ok"} == {"msp"}


def test_other_content_under_the_same_names(command: Command, home: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", far_seed=9)
    request = ("import", other, "--model", "net", "--suite", "mine", *FLAGS)
    before = content(home)
    done = command(*request)
    assert done.code == 2
    assert "wide" in done.err
    assert "--replace" in done.err
    assert content(home) == before
    assert command(*request, "--replace").code == 0
    assert content(home) != before
    assert command("bank", "verify").code == 0


def test_a_share_of_fit_as_val_and_half_precision(command: Command, tensors: Path, tmp_path: Path) -> None:
    place = tmp_path / "home"
    request = (
        "import",
        tensors,
        "--model",
        "net",
        "--suite",
        "half",
        "--fit",
        "train",
        "--test",
        "test",
        "--far",
        "far",
    )
    done = command(*request, "--val-from-fit", "0.25", "--dtype", "fp16", "--home", place, "--json")
    rows = {bank["set"]: bank["n"] for bank in done.json["banks"]}
    assert rows == {"train": 300, "train-val": 100, "test": 60, "far": 60}
    (manifest,) = (place / "banks" / "net").glob("far@*/manifest.json")
    assert json.loads(manifest.read_text())["tensors"]["features"]["dtype"] in ("fp16", "float16", "F16")
    assert (
        command(
            "run", "--task", "ood", "--suite", "half", "--scorer", "vim", "--scorer", "tempscale", "--home", place
        ).code
        == 0
    )


def test_npy_parts_and_roles_from_a_file_give_the_same_scores(
    command: Command, home: Path, tensors: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for file in tensors.glob("*.npz"):
        if file.stem == "head":
            shutil.copy(file, parts)
        for name, array in dict(np.load(file)).items():
            if file.stem != "head":
                np.save(parts / f"{file.stem}_{name}.npy", array)
    roles = tmp_path / "roles.toml"
    roles.write_text(
        '[roles]\nfit = "train"\nval = "held"\ntest = "test"\n[groups]\nnear = ["near"]\nfar = ["far", "wide"]\n'
    )
    place = tmp_path / "other-home"
    assert command("import", parts, "--model", "net", "--suite", "mine", "--roles", roles, "--home", place).code == 0
    request = ("run", "--task", "ood", "--suite", "mine", "--scorer", "vim", "--json")
    first, second = command(*request).json["rows"], command(*request, "--home", place).json["rows"]
    for a, b in zip(first, second, strict=True):
        assert (a["set"], a["auroc"], a["scores_sha256"]) == (b["set"], b["auroc"], b["scores_sha256"])
    hashes = [
        {bank["set"]: bank["bank_sha256"] for bank in command("list", "banks", "--json", "--home", where).json["banks"]}
        for where in (home, place)
    ]
    assert hashes[0] == hashes[1]
