"""Strict reading of TOML: a table knows its keys and their types, and says which file and key is wrong."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from ood_bench.errors import RequestError


class Table:
    """One TOML table of which only `keys` may be set; the getters check types and return the default where unset."""

    def __init__(self, values: Mapping[str, Any], keys: Iterable[str] | None, file: str, path: str = "") -> None:
        """`keys=None` is a table of names that the file chooses; `file` and `path` (`sets.a`) name it in messages."""
        self.values, self.file, self.path = values, file, path
        self.where = f"[{path}] of {file}" if path else file
        known = sorted(values if keys is None else keys)
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                guess = f" (did you mean {near[0]!r}?)" if near else ""
                raise RequestError(f"{self.where} has the unknown key {key!r}{guess}; the keys are: {', '.join(known)}")

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def names(self) -> tuple[str, ...]:
        """The keys that are set, in the order of the file."""
        return tuple(self.values)

    def text(self, key: str, default: str | None = None) -> str:
        """The text at `key`; without a default the key is required and may not be empty."""
        if key not in self.values and default is not None:
            return default
        value = self._required(key)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise self.wrong(key, "a text" if default is not None else "a text that is not empty", value)
        return value

    def optional_text(self, key: str) -> str | None:
        """The text at `key`, or None where the key is not set."""
        return self.text(key) if key in self.values else None

    def one_of(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        """The text at `key`, which must be one of `choices`."""
        value = self.text(key, default)
        if value not in (allowed := tuple(choices)):
            raise self.wrong(key, f"one of {', '.join(map(repr, allowed))}", value)
        return value

    def count(self, key: str, minimum: int = 0) -> int | None:
        """The whole number at `key`, at least `minimum`, or None where the key is not set."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise self.wrong(key, f"a whole number of at least {minimum}", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of texts at `key`, empty where the key is not set."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise self.wrong(key, "a list of texts", value)
        return tuple(value)

    def table(self, key: str, keys: Iterable[str] | None) -> Table:
        """The table at `key`, empty where it is not set."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "a table", value)
        return Table(value, keys, self.file, f"{self.path}.{key}" if self.path else key)

    def tables(self, key: str, keys: Iterable[str]) -> tuple[Table, ...]:
        """The array of tables at `key`, empty where it is not set."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, f"an array of tables, [[{key}]]", value)
        known = tuple(keys)
        return tuple(Table(item, known, f"[[{key}]] number {i} of {self.where}") for i, item in enumerate(value, 1))

    def wrong(self, key: str, expected: str, value: object) -> RequestError:
        """The error for a value that is not what its key expects."""
        return RequestError(f"{key!r} in {self.where} should be {expected}, got {type(value).__name__} {value!r}")

    def _required(self, key: str) -> object:
        if key not in self.values:
            raise RequestError(f"{self.where} needs the key {key!r}, but it is not set")
        return self.values[key]


def read_toml(file: Path, keys: Iterable[str], what: str, schema: int | None = None) -> Table:
    """The top table of a TOML file; with `schema`, the file must say a schema that is not newer than that."""
    where = f"{what} {file}"
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"{where} should be a TOML file, but it cannot be read: {error}") from error
    if schema is None:
        return Table(values, keys, where)
    # the schema comes first: the keys of a newer one are not typing errors
    found = values.get("schema")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise RequestError(f"{where} needs schema = {schema} at its top, got {found!r}")
    if found > schema:
        raise RequestError(f"{where} has schema {found}, but this version reads up to {schema}; upgrade ood-bench")
    return Table(values, (*keys, "schema"), where)


def without_empty(values: Mapping[str, object]) -> dict[str, Any]:
    """`values` without the entries that say nothing (None, empty text, list or table), for writing TOML."""
    return {key: cast(Any, value) for key, value in values.items() if value not in (None, "", [], {}, ())}
