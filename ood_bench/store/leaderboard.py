"""Leaderboards as files: `<suite>.csv` for people, `<suite>.records.jsonl` beside it with full precision and hashes.

Shares are in [0, 1] with six decimals in the CSV. A text cell that a spreadsheet would take for a formula is written
behind an apostrophe, which reading takes away again; numbers stay numbers, negative ones too.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ood_bench.canonical import canonical_json
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.files import write_bytes
from ood_bench.metrics.intervals import Interval
from ood_bench.naming import folder_name
from ood_bench.store.row import COLUMNS, FLOATS, INTEGERS, MEAN, SCHEMA, Row, Source

DECIMALS = 6

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTED = (*_FORMULA, "'")  # an apostrophe of the text's own is kept apart from ours


def export(rows: Iterable[Row], folder: Path, *, plugins: bool = False) -> list[Path]:
    """Write the two files of each suite in `rows` to `folder`, and return their paths.

    Rows of plug-ins are left out unless `plugins`: nobody else can run them. Equal rows give equal files.
    """
    by_suite: dict[str, list[Row]] = {}
    for row in rows:
        if plugins or row.origin != "plugin":
            by_suite.setdefault(row.suite, []).append(row)
    if not by_suite:
        raise RequestError("a leaderboard needs at least one row, got none; run the suite first: ood-bench run")
    paths: list[Path] = []
    for suite, members in sorted(by_suite.items()):
        ordered = sorted(members, key=order)
        table, records = folder / f"{folder_name(suite)}.csv", folder / f"{folder_name(suite)}.records.jsonl"
        write_bytes(records, "".join(f"{canonical_json(_full(row))}\n" for row in ordered).encode())
        write_bytes(table, to_csv(ordered).encode())
        paths += [table, records]
    return paths


def read(path: Path) -> list[Row]:
    """The rows of a leaderboard's CSV, or of a records file (`.jsonl`), which has full precision and sources."""
    try:
        text = path.read_bytes().decode()  # newlines inside cells stay what they are
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"a leaderboard should be at {path}, but it cannot be read: {error}") from error
    return _from_jsonl(text, path) if path.suffix == ".jsonl" else _from_csv(text, path)


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as the CSV of a leaderboard, in their order."""
    lines = [COLUMNS, *([cell(value) for value in row.columns().values()] for row in rows)]
    return "".join(",".join(map(_quoted, cells)) + "\n" for cells in lines)


def order(row: Row) -> tuple[object, ...]:
    """Stable from one export to the next: a group's mean after its sets."""
    seeds = [(-1 if seed is None else seed) for seed in (row.model_seed, row.seed)]
    names = (row.profile or "", row.origin or "", row.scorer_version or "")
    return (row.model, seeds[0], row.scorer, row.params or "", seeds[1], *names, row.group, row.set == MEAN, row.set)


def identity(row: Row) -> tuple[object, ...]:
    """What a line of a leaderboard is about, without the version of what computed it and without its numbers."""
    names = (row.suite, row.model, row.model_seed, row.scorer, row.params, row.profile, row.tuned_on, row.seed)
    return (*names, row.origin, row.group, row.set)


def named(row: Row) -> str:
    """A line of a leaderboard in the words of a message."""
    checkpoint = row.model if row.model_seed is None else f"{row.model}@{row.model_seed}"
    params = "" if row.params in (None, "{}") else f" {row.params}"
    where = f"the mean over {row.group}" if row.set == MEAN else f"set {row.set}"
    return f"{row.scorer}{params} on {checkpoint}, {where}"


def cell(value: str | int | float | None) -> str:
    """A value as the CSV has it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_QUOTED) else value
    return f"{value:.{DECIMALS}f}" if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    """The cell as RFC 4180 has it; the csv module leaves a lone carriage return bare before Python 3.13."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text


def _full(row: Row) -> dict[str, object]:
    intervals = {metric: asdict(interval) for metric, interval in row.intervals}
    return {**row.columns(), "sources": [asdict(source) for source in row.sources], "intervals": intervals}


def _from_csv(text: str, path: Path) -> list[Row]:
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header, *lines = list(table)
    except (csv.Error, ValueError) as error:
        raise IntegrityError(f"a leaderboard should be a CSV with a header at {path}, got {error}") from error
    # Later versions append columns; nothing is moved.
    if tuple(header[: len(COLUMNS)]) != COLUMNS:
        wrong = next((c for c, h in zip(COLUMNS, [*header, *COLUMNS], strict=False) if c != h), COLUMNS[len(header) :])
        raise IntegrityError(f"the columns of {path} should be {','.join(COLUMNS)}, but {wrong!r} is not in its place")
    return [_row_of_cells(cells, header, f"line {number} of {path}") for number, cells in enumerate(lines, start=2)]


def _row_of_cells(cells: list[str], header: list[str], where: str) -> Row:
    if len(cells) != len(header):
        raise IntegrityError(f"{where} should have {len(header)} cells, got {len(cells)}")
    return _row({name: _value(name, cell, where) for name, cell in zip(COLUMNS, cells, strict=False)}, where)


def _value(name: str, cell: str, where: str) -> str | int | float | None:
    if cell == "":
        return None
    try:
        if name in INTEGERS:
            return int(cell)
        if name in FLOATS:
            return float(cell)
    except ValueError as error:
        raise IntegrityError(f"{where}: {name} should be a number, got {cell!r}") from error
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_QUOTED) else cell


def _from_jsonl(text: str, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        where = f"line {number} of {path}"
        try:
            data = json.loads(line)
            sources = tuple(Source(**source) for source in data.pop("sources"))
            intervals = tuple((name, Interval(**value)) for name, value in data.pop("intervals", {}).items())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IntegrityError(f"{where} should be a row with its sources as a JSON object, got {error}") from error
        rows.append(replace(_row(data, where), sources=sources, intervals=intervals))
    return rows


def _row(data: Mapping[str, object], where: str) -> Row:
    """A row of checked kinds: no text where a number belongs, no NaN, no unknown status."""
    schema = data.get("schema") or 0
    if isinstance(schema, int) and schema > SCHEMA:
        raise RequestError(f"{where} has schema {schema}, but this ood-bench reads up to {SCHEMA}; install a newer one")
    for name in COLUMNS:
        value = data.get(name)
        kinds = (int,) if name in INTEGERS else (float, int) if name in FLOATS else (str,)
        required = name in ("schema", "suite", "model", "scorer", "set", "group", "status")
        fits = not required if value is None else isinstance(value, kinds) and value == value
        if not fits:
            raise IntegrityError(f"{where}: {name} should be {' or '.join(k.__name__ for k in kinds)}, got {value!r}")
    if data["status"] not in ("ok", "skipped", "failed"):
        raise IntegrityError(f"{where}: status should be ok, skipped or failed, got {data['status']!r}")
    values: dict[str, Any] = {name: data.get(name) for name in COLUMNS}
    values |= {name: float(values[name]) for name in FLOATS if values[name] is not None}
    return Row(**values)
