"""Records and runs as JSON objects and back; a file that does not say what it should is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.files import read_json
from ood_bench.store.records import SCHEMA, Provenance, Run, ScoreKey, ScoreRecord, Skipped

T = TypeVar("T")

# The kinds of a field are those of its annotation; annotations are text here, so each spelling is listed once.
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, NoneType),
    "int": (int,),
    "int | None": (int, NoneType),
    "float | None": (float, int, NoneType),
    "Origin": (str,),
    "Mapping[str, object]": (dict,),
    "Mapping[str, str]": (dict,),
    "Mapping[str, object] | None": (dict, NoneType),
}


def record_to_json(record: ScoreRecord) -> dict[str, object]:
    """The record as it is written: sorted by the writer, with its schema and the key's hash for people and tools."""
    return {**asdict(record), "schema": SCHEMA, "sha256": record.key.sha256, "key": record.key.to_json()}


def run_to_json(run: Run) -> dict[str, object]:
    """The run as it is written."""
    return {**asdict(run), "schema": SCHEMA}


def read_record(path: Path) -> ScoreRecord:
    """The score record in `path`, whose name must be the hash of the key inside."""

    def parse(data: dict[str, Any]) -> ScoreRecord:
        data.pop("sha256", None)
        special = {
            "key": _build(ScoreKey, data.pop("key"), "key"),
            "provenance": tuple(_provenance(entry) for entry in data.pop("provenance")),
            "marks": tuple(str(mark) for mark in data.pop("marks")),
        }
        return _build(ScoreRecord, data, "record", **special)

    record = _read(path, "a score record", parse)
    if record.key.sha256 != path.stem:
        raise IntegrityError(
            f"the score record {path} should hold the key of its name, but its key has the hash {record.key.sha256}; "
            "it was edited or renamed: remove it and run again"
        )
    return record


def read_run(path: Path) -> Run:
    """The run in `path`."""

    def parse(data: dict[str, Any]) -> Run:
        special = {
            "records": tuple(str(key) for key in data.pop("records")),
            "skipped": tuple(_build(Skipped, entry, "skipped") for entry in data.pop("skipped")),
            "failed": tuple(_build(Skipped, entry, "failed") for entry in data.pop("failed")),
        }
        return _build(Run, data, "run", **special)

    return _read(path, "a run", parse)


def _read(path: Path, what: str, parse: Callable[[dict[str, Any]], T]) -> T:
    data = read_json(path, what)
    schema = data.pop("schema", None)
    if not isinstance(schema, int) or schema < 1:
        raise IntegrityError(f"{what} should state its schema as a whole number, got {schema!r} in {path}")
    if schema > SCHEMA:
        raise RequestError(
            f"{what} at {path} has schema {schema}, but this ood-bench reads up to {SCHEMA}; install a newer ood-bench"
        )
    try:
        return parse(data)
    except (KeyError, TypeError, AttributeError) as error:
        fact = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise IntegrityError(
            f"{what} of schema {schema} was expected at {path}, but {fact}; remove it and run again"
        ) from error


def _build(cls: Callable[..., T], data: Mapping[str, Any], what: str, **special: Any) -> T:
    """`cls` from the plain fields in `data` and the ready ones in `special`; every name and kind is checked."""
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]  # cls is one of our dataclasses
    if surplus := sorted(set(data) - set(known)):
        raise TypeError(f"{what} has the unknown field {surplus[0]!r}")
    values: dict[str, Any] = dict(special)
    for name, field in known.items():
        if name in values:
            continue
        if name in data:
            if not isinstance(data[name], _KINDS[str(field.type)]) or isinstance(data[name], bool):
                raise TypeError(f"{what}.{name} should be {field.type}, got {data[name]!r}")
            values[name] = float(data[name]) if field.type == "float | None" and data[name] is not None else data[name]
        elif field.default is MISSING:
            raise KeyError(name)
    return cls(**values)


def _provenance(entry: Mapping[str, Any]) -> Provenance:
    return Provenance(
        device=str(entry["device"]),
        host=str(entry["host"]),
        program=str(entry["program"]),
        time=str(entry["time"]),
        versions={str(name): str(version) for name, version in entry["versions"].items()},
    )
