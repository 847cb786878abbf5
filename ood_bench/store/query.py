"""SQL over the record files through DuckDB: tables `records`, `runs` and `rows`, in memory and read only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.store.row import COLUMNS, FLOATS, INTEGERS
from ood_bench.store.rows import rows_of
from ood_bench.store.selection import suites_with_records
from ood_bench.store.store import Store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

INSTALL = 'queries need DuckDB: pip install "ood-bench[query]"'

# What DuckDB takes out of the files; given so that nothing is guessed from what the first files happen to hold.
_RECORD = {
    **dict.fromkeys(("sha256", "spec", "model", "set", "scores_sha256", "score_dtype", "list_sha256"), "VARCHAR"),
    **dict.fromkeys(("origin", "plugin_sha256", "profile", "tuned_on"), "VARCHAR"),
    **dict.fromkeys(("model_seed", "n"), "BIGINT"),
    **dict.fromkeys(("fit_seconds", "score_seconds"), "DOUBLE"),
    **dict.fromkeys(("key", "learned", "provenance"), "JSON"),
    "marks": "VARCHAR[]",
}
_OF_KEY = ("scorer", "version", "bank_sha256", "fit_split", "precision", "fit_sha256", "val_sha256", "head_sha256")
_RUN = {
    **dict.fromkeys(("id", "suite", "model", "head_sha256"), "VARCHAR"),
    "time": "VARCHAR",
    "model_seed": "BIGINT",
    **dict.fromkeys(("banks", "request", "seconds"), "JSON"),
    "records": "VARCHAR[]",
    **dict.fromkeys(("skipped", "failed"), "STRUCT(scorer VARCHAR, model VARCHAR, suite VARCHAR, reason VARCHAR)[]"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave."""

    columns: tuple[str, ...]
    lines: tuple[tuple[Any, ...], ...]


def query(home: Home, sql: str) -> Answer:
    """Answer one SELECT over what is stored in `home`.

    `records` has a line per score record, `runs` per run; `rows` has the leaderboard's columns for every suite that has
    records, and is computed only where the query names it. Times are in UTC.
    """
    duckdb = _duckdb()
    with duckdb.connect() as connection:
        _fill(connection, home, sql)
        # from here on nothing outside the tables can be read or written
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            found = connection.execute(sql)
            columns = tuple(column[0] for column in found.description or ())
            return Answer(columns, tuple(found.fetchall()))
        except duckdb.Error as error:
            raise RequestError(
                f"the query should be SQL over the tables records, runs and rows, but DuckDB says: {error}"
            ) from error


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise RequestError(INSTALL) from error
    return duckdb


def _fill(connection: DuckDBPyConnection, home: Home, sql: str) -> None:
    of_key = [f"key->>'{name}' AS {name}" for name in _OF_KEY]
    others = [name for name in _RECORD if name not in ("key", "provenance", "sha256")]
    _read(
        connection,
        "records",
        [
            "sha256",
            *of_key,
            "key->'params' AS params",
            "(key->>'seed')::BIGINT AS seed",
            *others,
            "(provenance->0->>'time')::TIMESTAMP AS time",
            "provenance->0->>'device' AS device",
            "provenance->0->>'program' AS ood_bench_version",
        ],
        _RECORD,
        [path for path in sorted(home.records.glob("[0-9a-f][0-9a-f]/*.json")) if not path.name.startswith(".")],
    )
    runs = [path for path in sorted(home.runs.glob("[0-9]*.json")) if not path.name.startswith(".")]
    _read(connection, "runs", ["time::TIMESTAMP AS time" if n == "time" else n for n in _RUN], _RUN, runs)
    types = {name: "BIGINT" if name in INTEGERS else "DOUBLE" if name in FLOATS else "VARCHAR" for name in COLUMNS}
    listed = ", ".join(f'"{name}" {types[name]}' for name in COLUMNS)
    connection.execute(f"CREATE TABLE rows ({listed})")
    if re.search(r"\brows\b", sql, re.IGNORECASE):
        store = Store(home)
        intervals = bool(re.search(r"\bauroc_(lo|hi)\b", sql, re.IGNORECASE))  # they cost seconds
        lines = [
            list(row.columns().values())
            for suite in suites_with_records(store)
            for row in rows_of(store, suite, intervals=intervals)
        ]
        if lines:
            marks = ", ".join("?" * len(COLUMNS))
            connection.executemany(f"INSERT INTO rows VALUES ({marks})", lines)


def _read(
    connection: DuckDBPyConnection, table: str, select: Sequence[str], types: dict[str, str], files: Sequence[Path]
) -> None:
    duckdb = _duckdb()
    fields = ", ".join(f"{name}: '{kind}'" for name, kind in types.items())
    if not files:
        columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items())
        connection.execute(f"CREATE TABLE {table} AS SELECT {', '.join(select)} FROM (SELECT {columns}) LIMIT 0")
        return
    try:
        connection.execute(
            f"CREATE TABLE {table} AS SELECT {', '.join(select)} "
            f"FROM read_json(?, columns = {{{fields}}}, format = 'auto', maximum_object_size = 1073741824)",
            [[str(path) for path in files]],
        )
    except duckdb.Error as error:
        raise IntegrityError(
            f"the {table} below {files[0].parents[1]} should all be whole JSON, but DuckDB says: {error}; "
            "ood-bench store check names the damaged one"
        ) from error
