"""Per-sample scores out of files that other programs wrote: OpenOOD's pickles, .npz and the like, CSV, Parquet.

Arrays are found by name: `SET__conf` (or SET__scores, or SET alone), `SET__pred`, `SET__label`, `SET__ids`. A name may
be led by where the set stands, as OpenOOD has it: id__test, ood__near__SET, ood__far__SET, csid__SET; pickles of nested
tables read the same, with their triples of (prediction, score, label). Tables have a line per sample with the columns
`set` and `score`, and may have `id`, `predicted`, `label` and `group`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ood_bench.errors import RequestError
from ood_bench.importing.foreign import SUFFIXES, read_arrays

TEST = "test"  # what the ID test set is called in a file, whatever its name in the suite

_FIELDS = {
    **dict.fromkeys(("conf", "confidence", "score", "scores", "1"), "scores"),
    **dict.fromkeys(("pred", "preds", "predicted", "0"), "predicted"),
    **dict.fromkeys(("label", "labels", "gt", "2"), "labels"),
    **dict.fromkeys(("id", "ids"), "ids"),
}
_CLASSIFIER = {"id_preds": "predicted", "id_labels": "labels"}  # the plain classifier's, beside those of the method
_TABLES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True, eq=False)
class SetScores:
    """What a file says about one set, in the order of its rows; `group` is near, far, ... where the file knows it."""

    name: str
    scores: np.ndarray
    group: str | None = None
    predicted: np.ndarray | None = None
    labels: np.ndarray | None = None
    ids: tuple[str, ...] | None = None


def read_scores(path: Path) -> dict[str, SetScores]:
    """The sets of a file by name; RequestError says which array or line is not what it should be."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return _from_arrays(read_arrays(path), path)
    if suffix in _TABLES:
        return _from_table(_csv(path) if suffix == ".csv" else _parquet(path), path)
    raise RequestError(f"{path} should end in one of {', '.join((*SUFFIXES, *_TABLES))}; save the scores as .npz")


def _from_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, SetScores]:
    by_place: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
    classifier = {_CLASSIFIER[name]: array for name, array in arrays.items() if name in _CLASSIFIER}
    for name, array in arrays.items():
        if name in _CLASSIFIER or array.ndim != 1:
            continue
        *place, last = name.split("__") if "__" in name else name.split(".")
        field = _FIELDS.get(last) if place else None
        where = tuple(place) if field else (*place, last)
        by_place.setdefault(where, {})[field or "scores"] = array
    found: dict[str, SetScores] = {}
    for where, fields in by_place.items():
        name, group = _standing(where)
        if "scores" not in fields or not _is_number(fields["scores"]):
            continue
        if name in found:
            raise RequestError(f"{path} has two arrays of scores for the set {name!r}; keep one of them")
        ids = fields.get("ids")
        found[name] = _checked(
            SetScores(
                name=name,
                group=group,
                scores=_floats(fields["scores"]),
                predicted=_classes(fields.get("predicted")),
                labels=_classes(fields.get("labels")),
                ids=None if ids is None else tuple(map(str, ids)),
            ),
            path,
        )
    if not found:
        raise RequestError(f"{path} should hold arrays such as test__conf and SET__conf, got {', '.join(arrays)[:200]}")
    if TEST in found and len(classifier) == 2:
        outcomes = {field: _classes(array) for field, array in classifier.items()}
        found[TEST] = _checked(replace(found[TEST], predicted=outcomes["predicted"], labels=outcomes["labels"]), path)
    return found


def _standing(where: tuple[str, ...]) -> tuple[str, str | None]:
    """The set's name and group: ("ood", "near", "svhn") -> svhn in near; ("id", "test") -> test; ("svhn",) -> svhn."""
    match where:
        case ("id", TEST):
            return TEST, None
        case ("ood", group, name):
            return name, group
        case ("id" | "ood" | "csid" as kind, name):
            return (name, "csid") if kind == "csid" else (f"{kind}.{name}", None)
        case (group, name):
            return name, group
    return ".".join(where), None


def _from_table(table: Mapping[str, np.ndarray], path: Path) -> dict[str, SetScores]:
    columns = {name.lower(): values for name, values in table.items()}
    score = next((columns[name] for name in ("score", "scores", "conf") if name in columns), None)
    if "set" not in columns or score is None:
        raise RequestError(f"{path} should have the columns set and score, got {', '.join(table)}")
    names = columns["set"].astype(str)
    found: dict[str, SetScores] = {}
    for name in dict.fromkeys(names.tolist()):
        rows = names == name
        groups = sorted(set(columns["group"][rows].astype(str).tolist()) - {""}) if "group" in columns else []
        if len(groups) > 1:
            raise RequestError(f"{path} has the set {name!r} in several groups: {', '.join(groups)}")
        found[name] = _checked(
            SetScores(
                name=name,
                group=groups[0] if groups and name != TEST else None,
                scores=_floats(_numbers(score[rows], f"the scores of {name} in {path}")),
                predicted=_column(columns, ("predicted", "pred"), rows, f"{name} in {path}"),
                labels=_column(columns, ("label", "labels"), rows, f"{name} in {path}"),
                ids=tuple(columns["id"][rows].astype(str).tolist()) if "id" in columns else None,
            ),
            path,
        )
    return found


def _column(
    columns: Mapping[str, np.ndarray], names: tuple[str, ...], rows: np.ndarray, what: str
) -> np.ndarray | None:
    values = next((columns[name][rows] for name in names if name in columns), None)
    return None if values is None else _classes(_numbers(values, f"the column {names[0]} of {what}"))


def _csv(path: Path) -> dict[str, np.ndarray]:
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} should be a CSV with a header, but cannot be read: {error}") from error
    if not lines:
        raise RequestError(f"{path} should be a CSV with a header, and is empty")
    header, *rows = lines
    for number, cells in enumerate(rows, start=2):
        if len(cells) != len(header):
            raise RequestError(f"line {number} of {path} should have {len(header)} cells, got {len(cells)}")
    return {name: np.array([cells[i] for cells in rows]) for i, name in enumerate(header)}


def _parquet(path: Path) -> dict[str, np.ndarray]:
    try:
        import duckdb
    except ImportError as error:
        raise RequestError(f'reading {path} needs DuckDB: pip install "ood-bench[query]", or save it as CSV') from error
    try:
        with duckdb.connect() as connection:
            columns = connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchnumpy()
    except duckdb.Error as error:
        raise RequestError(f"{path} should be a Parquet table, but cannot be read: {error}") from error
    for name, values in columns.items():
        if isinstance(values, np.ma.MaskedArray) and values.mask.any():
            raise RequestError(f"the column {name} of {path} has an empty cell; every sample needs a value")
    return {name: np.asarray(values) for name, values in columns.items()}


def _numbers(values: np.ndarray, what: str) -> np.ndarray:
    try:
        return values.astype(np.float64) if values.dtype.kind in "OSU" else values
    except ValueError as error:
        raise RequestError(f"{what} should be numbers: {error}") from error


def _is_number(values: np.ndarray) -> bool:
    return values.dtype.kind in "fiu"


def _floats(values: np.ndarray) -> np.ndarray:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)


def _classes(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else values.astype(np.int64)


def _checked(one: SetScores, path: Path) -> SetScores:
    """Equal lengths, finite scores."""
    n = len(one.scores)
    for what, values in (("predictions", one.predicted), ("labels", one.labels), ("ids", one.ids)):
        if values is not None and len(values) != n:
            raise RequestError(f"{path} should have as many {what} as scores of {one.name}, got {len(values)} and {n}")
    bad = np.flatnonzero(~np.isfinite(one.scores))
    if n == 0 or bad.size:
        fact = "none" if n == 0 else f"{one.scores[bad[0]]} in row {bad[0]}"
        raise RequestError(f"the scores of {one.name} in {path} should be finite numbers, got {fact}")
    return one
