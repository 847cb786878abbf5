"""Leaderboard files: what is written is read back, harmless in a spreadsheet, and the same each time."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.store.leaderboard import export, read
from ood_bench.store.row import COLUMNS, Row, Source

SOURCES = (
    Source(role="id", set="test", record="1" * 64, scores_sha256="2" * 64, bank_sha256="3" * 64),
    Source(role="ood", set="a", record="4" * 64, scores_sha256="5" * 64, bank_sha256="6" * 64, fit_sha256="7" * 64),
)
ROW = Row(
    suite="toy",
    protocol="ours",
    model="net",
    model_seed=0,
    scorer="knn",
    params='{"k":50}',
    set="a",
    group="near",
    n_seeds=1,
    n_id=3,
    n_ood=2,
    auroc=1 / 3,
    fpr95_id_positive=0.0,
    fit_seconds=12.5,
    origin="ours",
    status="ok",
    date="2026-01-02T03:04:05Z",
    sources=SOURCES,
)


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_holds_six_decimals_and_the_records_everything(tmp_path: Path) -> None:
    table, records = export([ROW], tmp_path / "leaderboards")
    assert (table.name, records.name) == ("toy.csv", "toy.records.jsonl")
    (line,) = cells(table)
    assert tuple(line) == COLUMNS
    assert (line["auroc"], line["fpr95_id_positive"], line["auroc_lo"], line["n_id"]) == (
        "0.333333",
        "0.000000",
        "",
        "3",
    )
    assert read(records) == [ROW]
    assert read(table) == [replace(ROW, auroc=0.333333, sources=())]


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+a", "-b", "@c", "'quoted", "'=1", "\tx", "\rx", "a,b", 'a"b', "two\nlines", "a\u2028b", "<script>", "ä"],
)
def test_any_name_is_safe_in_a_spreadsheet_and_comes_back(tmp_path: Path, name: str) -> None:
    row = replace(ROW, set=name, model=name)
    table, records = export([row], tmp_path)
    (line,) = cells(table)
    assert not line["set"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read(table)[0].set == read(table)[0].model == name
    assert read(records) == [row]


def test_numbers_stay_numbers_even_negative_ones(tmp_path: Path) -> None:
    table, _ = export([replace(ROW, model_seed=-1)], tmp_path)
    (line,) = cells(table)
    assert line["model_seed"] == "-1"
    assert read(table)[0].model_seed == -1


def test_the_order_of_the_rows_does_not_matter_and_means_come_after_their_sets(tmp_path: Path) -> None:
    rows = [replace(ROW, set=name, scorer=scorer) for scorer in ("knn", "act") for name in ("mean", "a", "z")]
    first = [path.read_bytes() for path in export(rows, tmp_path / "x")]
    assert first == [path.read_bytes() for path in export(rows[::-1], tmp_path / "y")]
    assert [(r.scorer, r.set) for r in read(tmp_path / "x" / "toy.csv")] == [
        (scorer, name) for scorer in ("act", "knn") for name in ("a", "z", "mean")
    ]


def test_plugin_rows_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    mine = replace(ROW, scorer="mine", origin="plugin")
    table, _ = export([ROW, mine], tmp_path)
    assert [row.scorer for row in read(table)] == ["knn"]
    export([ROW, mine], tmp_path, plugins=True)
    assert [row.scorer for row in read(table)] == ["knn", "mine"]
    with pytest.raises(RequestError, match="at least one row"):
        export([mine], tmp_path)


def test_each_suite_has_its_own_files(tmp_path: Path) -> None:
    paths = export([ROW, replace(ROW, suite="../other")], tmp_path)
    assert all(path.parent == tmp_path for path in paths)
    assert len(paths) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.333333", "high", r"line 2 of .*toy.csv: auroc should be a number, got 'high'"),
        ("0.333333", "nan", r"line 2 of .*toy.csv: auroc should be .*got nan"),
        (",ok,", ",fine,", r"line 2 of .*status should be ok, skipped or failed, got 'fine'"),
        ("suite,protocol", "protocol,suite", r"columns of .* 'suite' is not in its place"),
        (",ok,", ",ok,,", r"line 2 of .* should have 35 cells, got 36"),
        (",knn,", ",,", r"line 2 of .*scorer should be str, got None"),
    ],
)
def test_an_edited_csv_names_line_and_column(tmp_path: Path, old: str, new: str, message: str) -> None:
    table, _ = export([ROW], tmp_path)
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))
    with pytest.raises(IntegrityError, match=message):
        read(table)


def test_damaged_records_newer_schemas_and_missing_files_are_told_apart(tmp_path: Path) -> None:
    table, records = export([ROW, replace(ROW, set="b")], tmp_path)
    records.write_text(records.read_text()[:-20])
    with pytest.raises(IntegrityError, match=r"line 2 of .*records.jsonl should be a row"):
        read(records)
    table.write_text(table.read_text().replace("\n1,toy", "\n2,toy"))
    with pytest.raises(RequestError, match=r"line 2 of .* has schema 2, but this ood-bench reads up to 1"):
        read(table)
    with pytest.raises(RequestError, match=r"leaderboard should be at .*none.csv"):
        read(tmp_path / "none.csv")


def test_columns_that_a_later_version_appends_are_passed_over(tmp_path: Path) -> None:
    table, _ = export([ROW], tmp_path)
    header, line = table.read_text().splitlines()
    table.write_text(f"{header},new\n{line},5\n")
    assert read(table) == [replace(ROW, auroc=0.333333, sources=())]
