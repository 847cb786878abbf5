"""Looks a whole bank over: every hash, every count, every number."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch

from ood_bench.bank.content import ContentHash
from ood_bench.bank.manifest import Manifest, TensorInfo, bank_hash
from ood_bench.bank.reader import open_bank
from ood_bench.bank.shards import ShardReader, forget_verified
from ood_bench.errors import OodBenchError

_ROWS = 1024


def verify(folder: Path) -> list[str]:
    """Everything that is wrong with a bank, in sentences; empty where all is well. Reads all of it again."""
    forget_verified(folder)
    try:
        bank = open_bank(folder)
    except OodBenchError as error:
        return [str(error)]
    problems: list[str] = []
    for look in (lambda: bank.ids, lambda: bank.constants):
        _note(problems, look)
    content = _look_at_shards(folder, bank.manifest, problems)
    return problems or _contradictions(folder, bank.manifest, content)


def _look_at_shards(folder: Path, manifest: Manifest, problems: list[str]) -> dict[str, TensorInfo]:
    """Note damaged shards and numbers that are not finite; the hashes of the tensors as found."""
    content, first = ContentHash(), 0
    for shard in manifest.shards:
        with closing(ShardReader(folder, [shard], manifest.tensors)) as reader:
            for start in range(0, shard.rows, _ROWS):
                try:
                    rows = reader.rows(manifest.tensors, start, min(shard.rows, start + _ROWS))
                except OodBenchError as error:
                    problems.append(str(error))
                    break
                content.add(rows)
                for name, tensor in rows.items():
                    bad = ~torch.isfinite(tensor.flatten(1)).all(dim=1) if tensor.ndim > 1 else torch.zeros(1)
                    if bool(bad.any()):
                        row = first + start + int(bad.nonzero()[0])
                        problems.append(f"{folder / shard.file}: `{name}` is NaN or infinite at row {row}")
        first += shard.rows
    return content.infos()


def _contradictions(folder: Path, manifest: Manifest, found: dict[str, TensorInfo]) -> list[str]:
    """What the manifest says of the whole that its parts do not bear out."""
    rows = sum(shard.rows for shard in manifest.shards)
    problems = [] if rows == manifest.n else [f"{folder}: the shards hold {rows} rows, the manifest says {manifest.n}"]
    problems += [
        f"{folder}: `{name}` is not what the manifest says" for name in found if found[name] != manifest.tensors[name]
    ]
    stated = bank_hash(
        manifest.identity, manifest.n, manifest.tensors, manifest.ids_sha256, manifest.constants, manifest.head_sha256
    )
    return (
        problems if stated == manifest.bank_sha256 else [*problems, f"{folder}: the bank hash is not that of its parts"]
    )


def _note(problems: list[str], look: Callable[[], object]) -> None:
    try:
        look()
    except OodBenchError as error:
        problems.append(str(error))
