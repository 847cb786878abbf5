"""Options that several commands share, and values that options take."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

import click

HOME = click.option(
    "--home", metavar="DIR", help="Where banks and records are kept. [default: $OOD_BENCH_HOME, else the cache folder]"
)
JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout; all else goes to stderr."
)

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SMALLEST_MEMORY = 1 << 20


class Bytes(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.5 on
    """A number of bytes, as 2GiB, 512MiB or 1500000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", str(value).strip().lower())
        if match is None or match[2] not in _UNITS:
            self.fail(f"expects a size such as 2GiB or 512MiB, got {value!r}", param, context)
        size = int(float(match[1]) * _UNITS[match[2]])
        if size < SMALLEST_MEMORY:
            self.fail(f"expects at least 1MiB, got {value!r}", param, context)
        return size


def print_json(document: Mapping[str, object]) -> None:
    """One document on stdout."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")
