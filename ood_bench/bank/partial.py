"""A bank folder that is being written: whole shards, what is known of each, and how a cut-off write goes on."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ood_bench.bank.heads import HeadFit, save_tensors
from ood_bench.bank.manifest import (
    CONSTANTS_FILE,
    IDS_FILE,
    JOURNAL,
    Manifest,
    Shard,
    has_manifest,
    remove_folder,
    staging_of,
    write_manifest,
)
from ood_bench.canonical import sha256_of_file
from ood_bench.errors import RequestError
from ood_bench.files import read_json, write_atomically, write_json


@dataclass(frozen=True, slots=True)
class Part:
    """What the journal keeps of one shard until the bank is finished."""

    shard: Shard
    ids: tuple[str, ...]
    fit: HeadFit | None


def place_to_write(target: Path) -> Path:
    """The folder to write in: `target`, or a hidden one beside it while a finished bank is there.

    Where a replacement was cut off between the old bank and the new one, the new one's shards are taken up.
    """
    staging = staging_of(target)
    if has_manifest(target):
        return staging
    if staging.is_dir():
        remove_folder(target)
        with permission_to_write(target):
            staging.rename(target)
    return target


@contextmanager
def permission_to_write(path: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that names the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RequestError(f"cannot write {path}: {reason}; choose a writable place with --home") from error


class PartialBank:
    """The folder `folder`, which becomes the bank `target` when it is finished.

    Nothing is made on disk before the first shard. A shard counts as whole once its part file is there, which is
    written after it. `settings` is the hash of all that decides the shards' bytes: other settings start anew.
    """

    def __init__(self, target: Path, folder: Path, settings: str, rows_per_shard: int) -> None:
        self._target, self.folder, self._settings = target, folder, settings
        self._fresh = not has_manifest(target)
        self._started = False
        self.parts = self._find_parts(rows_per_shard)

    def add(self, tensors: Mapping[str, Tensor], ids: tuple[str, ...], fit: HeadFit | None) -> None:
        """Write one shard, then its part file."""
        self._start()
        path = self._shard_path(len(self.parts))
        write_atomically(path, lambda temporary: save_tensors(temporary, dict(tensors)))
        shard = Shard(path.name, len(ids), sha256_of_file(path))
        part = Part(shard, ids, fit)
        write_json(
            self._part_path(len(self.parts)),
            {"rows": shard.rows, "sha256": shard.sha256, "ids": ids, "fit": fit},
        )
        self.parts.append(part)

    def finish(self, manifest: Manifest, constants: Mapping[str, Tensor]) -> None:
        """Write ids and constants, take the target's place, and write the manifest last."""
        self._start()
        write_atomically(self.folder / IDS_FILE, self._write_ids)
        if constants:
            write_atomically(self.folder / CONSTANTS_FILE, lambda temporary: save_tensors(temporary, dict(constants)))
        if self.folder != self._target:
            remove_folder(self._target)
            with permission_to_write(self._target):
                self.folder.rename(self._target)
        write_manifest(self._target, manifest)
        with permission_to_write(self._target):
            for pattern in (JOURNAL, "shard-*.json", ".*.tmp"):
                for leftover in self._target.glob(pattern):
                    leftover.unlink(missing_ok=True)
        self.release()

    def discard(self) -> None:
        """Remove what was written so far."""
        if self._started:
            self.release()
            remove_folder(self.folder)

    def release(self) -> None:
        """Let other processes write this bank."""
        if self._started:
            self._closer()

    def _find_parts(self, rows_per_shard: int) -> list[Part]:
        parts: list[Part] = []
        journal = self.folder / JOURNAL
        if not journal.is_file() or read_json(journal, "a bank's journal").get("settings") != self._settings:
            return parts
        while self._part_path(len(parts)).is_file():
            shard = self._shard_path(len(parts))
            value = read_json(self._part_path(len(parts)), "a part of a bank's journal")
            if value["rows"] != rows_per_shard or not shard.is_file() or sha256_of_file(shard) != value["sha256"]:
                break
            kept = Shard(shard.name, value["rows"], value["sha256"])
            parts.append(Part(kept, tuple(value["ids"]), value["fit"] and tuple(value["fit"])))
        return parts

    def _start(self) -> None:
        """Make the folder and keep other processes out of it; drop what is not a whole shard of these settings."""
        if self._started:
            return
        whole = range(len(self.parts))
        keep = {self._shard_path(index) for index in whole} | {self._part_path(index) for index in whole}
        keep |= {self.folder / JOURNAL} if self.parts else set()
        with permission_to_write(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock()
            for entry in self.folder.iterdir():
                if entry not in keep:
                    entry.unlink()
        self._started = True
        if not self.parts:
            write_json(self.folder / JOURNAL, {"schema": 1, "settings": self._settings})

    def _lock(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        self._closer = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = True
        except OSError:
            taken = False  # a file system without locks: two writers of one bank write the same files anyway
        else:
            taken = self._fresh and has_manifest(self._target)
        if taken:
            self._closer()
            raise RequestError(
                f"the bank at {self._target} is being written by another process; repeat the command when it is done"
            )

    def _shard_path(self, index: int) -> Path:
        return self.folder / f"shard-{index:05d}.safetensors"

    def _part_path(self, index: int) -> Path:
        return self.folder / f"shard-{index:05d}.json"

    def _write_ids(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for part in self.parts:
                file.writelines(f"{identifier}\n" for identifier in part.ids)
