"""Rows out of shard files: each file is checked once per process, and only the rows asked for are read."""

from __future__ import annotations

import io
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from ood_bench.bank.content import bytes_of, dtype_of
from ood_bench.bank.manifest import REMEDY, Shard, TensorInfo
from ood_bench.canonical import sha256_of_file
from ood_bench.errors import IntegrityError

_verified: dict[Path, tuple[int, int, str]] = {}  # path -> time of change, size and hash at the last check


def verify_file(path: Path, sha256: str) -> None:
    """Raise IntegrityError unless the file has this hash; a file that has not changed since is not read again."""
    try:
        stat = path.stat()
        seen = (stat.st_mtime_ns, stat.st_size, sha256)
        if _verified.get(path) == seen:
            return
        found = sha256_of_file(path)
    except OSError as error:
        raise IntegrityError(f"{path} should be part of a bank, but {error.strerror}; {REMEDY}") from error
    if found != sha256:
        raise IntegrityError(
            f"{path} is damaged: its sha256 should be {sha256[:12]}... and is {found[:12]}... "
            f"({stat.st_size} bytes); {REMEDY}"
        )
    _verified[path] = seen


class ShardReader:
    """Reads rows by their place in the bank, from verified shards; keeps one shard open."""

    def __init__(self, folder: Path, shards: Sequence[Shard], infos: Mapping[str, TensorInfo]) -> None:
        self._folder, self._shards, self._infos = folder, shards, infos
        self._starts = [0, *accumulate(shard.rows for shard in shards)]
        self._open: tuple[int, io.FileIO, dict[str, int]] | None = None

    def rows(self, names: Iterable[str], first: int, stop: int) -> dict[str, Tensor]:
        """Rows first..stop-1 of the tensors. Plain reads, so that memory holds these rows and no more."""
        out = {}
        for name in names:
            info = self._infos[name]
            out[name] = torch.empty((stop - first, *info.shape), dtype=dtype_of(info.dtype))
        row = first
        while row < stop:
            index = bisect_right(self._starts, row) - 1
            end = min(stop, self._starts[index + 1])
            for name, tensor in out.items():
                self._fill(tensor[row - first : end - first], name, index, row - self._starts[index])
            row = end
        return out

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _fill(self, out: Tensor, name: str, index: int, first: int) -> None:
        file, offsets = self._shard(index)
        target = bytes_of(out)
        file.seek(offsets[name] + first * (target.nbytes // len(out)))
        done = 0
        while done < target.nbytes:
            got = file.readinto(target[done:])  # one call reads at most 2 GiB
            if not got:
                path = self._folder / self._shards[index].file
                raise IntegrityError(f"{path} became shorter while it was read; {REMEDY}")
            done += got

    def _shard(self, index: int) -> tuple[io.FileIO, dict[str, int]]:
        """The open file of one shard, and where each tensor's bytes begin in it."""
        if self._open is not None and self._open[0] == index:
            return self._open[1:]
        self.close()
        shard = self._shards[index]
        path = self._folder / shard.file
        verify_file(path, shard.sha256)
        file = io.FileIO(path)
        try:
            offsets = self._offsets(file, shard)
        except (KeyError, TypeError, ValueError) as error:
            file.close()
            raise IntegrityError(f"{path} does not hold the tensors of its manifest ({error}); {REMEDY}") from error
        self._open = (index, file, offsets)
        return file, offsets

    def _offsets(self, file: io.FileIO, shard: Shard) -> dict[str, int]:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        for name, info in self._infos.items():
            if header[name]["shape"] != [shard.rows, *info.shape]:
                raise ValueError(f"`{name}` has shape {header[name]['shape']}")
        return {name: 8 + length + header[name]["data_offsets"][0] for name in self._infos}


def forget_verified(folder: Path) -> None:
    """Let the files of this folder be read and checked again."""
    for path in [path for path in _verified if path.parent == folder]:
        del _verified[path]
