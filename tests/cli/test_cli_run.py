"""`ood-bench run`, `table`, `check-scorer` and `leaderboard` on a user's own suite: documents, exit codes, both streams."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ood_bench.registry import SCORERS
from ood_bench.store.row import COLUMNS

Command = Callable[..., Any]

PLUGIN = """
from dataclasses import dataclass
from ood_bench import scorer


@scorer("own-one", aliases=("oo++",))
@dataclass(frozen=True)
class Own:
    '''The largest logit, turned by `sign`.'''

    sign: float = 1.0

    def score(self, batch):
        return {body}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], Path]:
    def write(body: str = "self.sign * batch.max_logit") -> Path:
        file = tmp_path / "own.py"
        file.write_text(PLUGIN.format(body=body))
        return file

    return write


def test_all_scorers_on_a_suite_of_ones_own(command: Command, home: Path) -> None:
    done = command("run", "--task", "ood", "--suite", "mine", "--json")
    assert done.code == 0
    document = done.json
    assert {"schema", "rows", "skipped", "tasks"} <= set(document)
    assert document["schema"] == 1
    for row in document["rows"]:
        assert list(row) == list(COLUMNS)
        assert row["suite"] == "mine"
        if row["status"] == "ok":
            shares = ("auroc", "fpr95_id_positive", "fpr95_ood_positive", "aupr_in", "aupr_out", "id_accuracy")
            assert all(0 <= row[name] <= 1 for name in shares)
        else:
            assert row["reason"]
            assert row["auroc"] is None
    for entry in document["skipped"]:
        assert {"scorer", "model", "suite", "reason"} <= set(entry)
    named = {row["scorer"].removesuffix("+energy") for row in document["rows"]}
    assert named == set(SCORERS.names())  # nobody is missing without a reason
    unscored = {row["scorer"] for row in document["rows"] if row["status"] != "ok"}
    assert unscored <= {entry["scorer"].partition(":")[0] for entry in document["skipped"] + document["failed"]}
    assert {(row["group"], row["set"]) for row in document["rows"]} == {
        *(("near", name) for name in ("near", "mean")),
        *(("far", name) for name in ("far", "wide", "mean")),
    }


def test_the_model_alone_is_enough_and_several_scorers_are_repeated_options(command: Command, home: Path) -> None:
    done = command(
        "run",
        "--task",
        "ood",
        "--model",
        "net",
        "--scorer",
        "msp",
        "--scorer",
        "react+mds++",
        "--scorer",
        "mls",
        "--json",
    )
    assert done.code == 0
    assert {row["scorer"] for row in done.json["rows"]} == {"msp", "react+mds-pp", "maxlogit"}
    assert {row["model"] for row in done.json["rows"]} == {"net"}


def test_a_table_for_people_and_an_empty_stderr_in_a_pipe(home: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ood_bench",
            "run",
            "--task",
            "ood",
            "--suite",
            "mine",
            "--scorer",
            "msp",
            "--scorer",
            "vim",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "FPR95 ID+" in done.stdout
    assert "\x1b" not in done.stdout
    assert "vim" in done.stdout


def test_skipped_scorers_have_their_reason_below_the_table(command: Command, home: Path) -> None:
    done = command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp", "--scorer", "neglabel")
    assert done.code == 0
    assert "needs text-features: store the class prompts" in " ".join(done.out.split())


def test_nothing_scored_is_no_success(command: Command, home: Path) -> None:
    assert command("run", "--task", "ood", "--suite", "mine", "--scorer", "neglabel").code == 1


def test_a_plugin_on_the_command_line(command: Command, home: Path, plugin: Callable[..., Path]) -> None:
    file = plugin()
    done = command(
        "run",
        "--task",
        "ood",
        "--suite",
        "mine",
        "--plugin",
        file,
        "--scorer",
        "own-one",
        "--scorer",
        "oo++:sign=2",
        "--json",
    )
    assert done.code == 0
    rows = [row for row in done.json["rows"] if row["set"] == "near"]
    assert {row["origin"] for row in rows} == {"plugin"}
    assert {row["params"] for row in rows} == {'{"sign":1.0}', '{"sign":2.0}'}
    assert len({row["auroc"] for row in rows}) == 1
    assert all(row["scorer_version"].startswith("1.") for row in rows)


def test_a_plugin_that_breaks_loses_nobody_and_exits_1(
    command: Command, home: Path, plugin: Callable[..., Path]
) -> None:
    file = plugin("batch.max_logit / 0")
    done = command(
        "run", "--task", "ood", "--suite", "mine", "--plugin", file, "--scorer", "own-one", "--scorer", "msp", "--json"
    )
    assert done.code == 1
    status = {row["scorer"]: row["status"] for row in done.json["rows"] if row["set"] == "far"}
    assert status == {"own-one": "failed", "msp": "ok"}
    reasons = {one["reason"] for one in done.json["failed"] if one["set"] == "far"}
    assert reasons == {"own-one gave inf for row 0 (far/0) of far with net (60 of 60 scores are not finite)"}
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("body", "code", "verdict"),
    [
        ("self.sign * batch.max_logit", 0, "verdict: the contract holds"),
        ("-batch.max_logit", 1, "FAIL higher = more in-distribution"),
        ("batch.max_logit - batch.max_logit.mean()", 1, "FAIL independent of batch size"),
        ("batch.logits.mul_(2).amax(dim=1)", 1, "FAIL modifies nothing that it is given"),
        ("batch.max_logit * float('nan')", 1, "FAIL one finite score per row"),
    ],
)
def test_check_scorer_gives_a_plain_verdict(
    command: Command, plugin: Callable[..., Path], body: str, code: int, verdict: str
) -> None:
    done = command("check-scorer", plugin(body))
    assert done.code == code
    assert "own-one (Own):" in done.out
    assert verdict in done.out
    assert ("rule(s) broken" in done.out) == (code == 1)
    assert done.err == ""


@pytest.fixture
def scored(command: Command, home: Path) -> Path:
    assert (
        command(
            "run", "--task", "ood", "--suite", "mine", "--scorer", "msp", "--scorer", "vim", "--scorer", "neglabel"
        ).code
        == 0
    )
    return home


def test_a_table_in_every_format_from_the_store_alone(command: Command, scored: Path) -> None:
    said = {
        fmt: command("table", "--suite", "mine", "--format", fmt)
        for fmt in ("text", "markdown", "latex", "csv", "html")
    }
    assert all((done.code, done.err) == (0, "") for done in said.values())
    assert "FPR95 ID+" in said["text"].out
    assert "needs text-features" in " ".join(said["text"].out.split())
    assert "| vim" in said["markdown"].out
    assert "\\begin{tabular}" in said["latex"].out
    assert "<table" in said["html"].out
    rows = list(csv.DictReader(io.StringIO(said["csv"].out)))
    assert tuple(rows[0]) == COLUMNS
    assert {row["scorer"] for row in rows} == {"msp", "vim", "neglabel"}
    assert all(0 <= float(row["auroc"]) <= 1 for row in rows if row["status"] == "ok")


def test_what_run_prints_is_what_table_prints_of_that_run(command: Command, home: Path) -> None:
    ran = command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp", "--scorer", "vim")
    (run,) = command("list", "runs", "--json").json["runs"]
    again = command("table", "--run", run["name"], "--means")
    assert again.out.strip() == ran.out.strip()
    as_json = command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp", "--scorer", "vim", "--json").json[
        "rows"
    ]
    stored = command("table", "--suite", "mine", "--json").json
    assert stored["schema"] == 1
    assert stored["rows"] == as_json


def test_the_other_orientation_is_another_header(command: Command, scored: Path) -> None:
    plain = command("table", "--suite", "mine", "--scorer", "msp").out
    other = command("table", "--suite", "mine", "--scorer", "msp", "--fpr", "ood_positive").out
    assert "FPR95 ID+" in plain
    assert "FPR95 OOD+" in other
    assert "FPR95 ID+" not in other


def test_a_leaderboard_is_exported_with_its_records(command: Command, scored: Path, tmp_path: Path) -> None:
    done = command("leaderboard", "export", "--suite", "mine", "--out", tmp_path / "boards")
    assert done.code == 0
    table, records = tmp_path / "boards" / "mine.csv", tmp_path / "boards" / "mine.records.jsonl"
    assert done.out.split()[:2] == [str(table), str(records)]
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    documents = [json.loads(line) for line in records.read_text().splitlines()]
    assert len(documents) >= len([row for row in rows if row["status"] == "ok"])
    assert command("leaderboard", "export", "--suite", "mine", "--out", tmp_path / "again").code == 0
    assert (tmp_path / "again" / "mine.csv").read_bytes() == table.read_bytes()
