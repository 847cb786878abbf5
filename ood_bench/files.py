"""Files that are whole or absent: written under a temporary name, fsynced, renamed."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ood_bench.errors import IntegrityError, RequestError


def write_atomically(path: Path, write: Callable[[Path], None], *, durable: bool = True) -> None:
    """Call `write(temporary path)`, then make the result appear at `path` whole or not at all.

    Not `durable`: whole for every process, but a power cut may leave it empty; for what can be computed again, by the
    thousand, where two fsyncs each would take longer than the arithmetic.

    Raises RequestError naming the path where it cannot be written (permissions, full disk).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            if durable:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            temporary.replace(path)
            if durable:
                _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"cannot write {path}: {reason}; choose a writable place with --home") from error


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write `data` to `path`, whole or not at all."""
    write_atomically(path, lambda temporary: _write(temporary, data), durable=durable)


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Write readable JSON (sorted keys, two spaces) to `path`, whole or not at all."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode(), durable=durable)


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in `path`; `what` names it in the error when it is unreadable."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{what} should be a JSON object at {path}, but it cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} should be a JSON object at {path}, got {type(value).__name__}")
    return value


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
