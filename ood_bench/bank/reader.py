"""Reads a bank from disk in batches, whatever its size; every shard is checked the first time it is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ood_bench.bank.content import info_of
from ood_bench.bank.heads import derive_logits, has_head, head_sha256, read_head
from ood_bench.bank.manifest import CONSTANTS_FILE, IDS_FILE, REMEDY, Manifest, read_manifest
from ood_bench.bank.shards import ShardReader
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.naming import folder_name
from ood_bench.types import Head


@dataclass(frozen=True, eq=False)
class DiskBank:
    """A finished bank on disk; `open_bank` makes one. Nothing but the manifest is read until it is asked for."""

    folder: Path
    manifest: Manifest
    head: Head | None = None

    @property
    def set(self) -> str:
        return self.manifest.identity.set

    @property
    def model(self) -> str:
        return self.manifest.identity.model

    @property
    def model_seed(self) -> int | None:
        return self.manifest.identity.model_seed

    @property
    def label_space(self) -> str:
        return self.manifest.identity.label_space

    @property
    def abstain_index(self) -> int | None:
        return self.manifest.identity.abstain_index

    @property
    def n(self) -> int:
        return self.manifest.n

    @property
    def n_features(self) -> int | None:
        return self.manifest.n_features

    @property
    def n_classes(self) -> int | None:
        return self.manifest.n_classes if self.head is None else self.head.n_classes

    @property
    def inputs(self) -> frozenset[str]:
        stored = frozenset(self.manifest.tensors)
        return stored | {"logits"} if self._derives_logits else stored

    @property
    def sha256(self) -> str:
        return self.manifest.bank_sha256

    @property
    def has_labels(self) -> bool:
        return self.manifest.has_labels

    @property
    def head_error(self) -> float | None:
        return self.manifest.head_error

    @property
    def head_refused(self) -> str | None:
        return self.manifest.head_refused

    @cached_property
    def ids(self) -> list[str]:
        """The ids in order, checked against the manifest."""
        path = self.folder / IDS_FILE
        try:
            ids = path.read_bytes().decode().split("\n")[:-1]
        except (OSError, UnicodeDecodeError) as error:
            raise IntegrityError(f"the ids at {path} cannot be read ({error}); {REMEDY}") from error
        if len(ids) != self.n or sha256_of_lines(ids) != self.manifest.ids_sha256:
            raise IntegrityError(f"{path} should hold the {self.n} ids that were written, but it was changed; {REMEDY}")
        return ids

    @cached_property
    def constants(self) -> Mapping[str, Tensor]:
        if not self.manifest.constants:
            return {}
        path = self.folder / CONSTANTS_FILE
        try:
            tensors: dict[str, Tensor] = load(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise IntegrityError(f"{path} cannot be read ({error}); {REMEDY}") from error
        if {name: info_of(tensor) for name, tensor in tensors.items()} != self.manifest.constants:
            raise IntegrityError(f"{path} was changed after it was written; {REMEDY}")
        return tensors

    def batches(self, rows: int, names: Collection[str] | None = None) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Fresh tensors of `rows` rows; memory holds one batch, however large bank and shards are."""
        if rows < 1:
            raise RequestError(f"a batch needs at least one row, got rows={rows}")
        wanted = sorted(self.inputs if names is None else names)
        for name in wanted:
            self._check_input(name)
        stored = {name for name in wanted if name in self.manifest.tensors}
        derive = "logits" in wanted and "logits" not in stored
        with closing(ShardReader(self.folder, self.manifest.shards, self.manifest.tensors)) as reader:
            for first in range(0, self.n, rows):
                batch = reader.rows(stored | {"features"} if derive else stored, first, min(self.n, first + rows))
                if derive:
                    assert self.head is not None
                    batch["logits"] = derive_logits(self.head, batch["features"])
                yield first, {name: batch[name] for name in wanted}

    def read(self, name: str) -> Tensor:
        """One whole tensor, in memory."""
        self._check_input(name)
        ((_, batch),) = self.batches(self.n, (name,))
        return batch[name]

    @property
    def _derives_logits(self) -> bool:
        return "logits" not in self.manifest.tensors and "features" in self.manifest.tensors and self.head is not None

    def _check_input(self, name: str) -> None:
        if name not in self.inputs:
            raise RequestError(f"{self.manifest.identity} has no `{name}`; it has {', '.join(sorted(self.inputs))}")


def open_bank(folder: Path, head: Head | None = None) -> DiskBank:
    """The finished bank in `folder`. Logits that are not stored follow from `head`, or from the one beside the bank."""
    manifest = read_manifest(folder)
    derives = "logits" not in manifest.tensors and manifest.head_sha256 is not None
    if head is None and derives:
        beside = folder.parent / "heads" / folder_name(manifest.identity.label_space)
        head = read_head(beside) if has_head(beside) else None
    if head is not None:
        _check_fits(manifest, head)
        if derives and head_sha256(head) != manifest.head_sha256:
            raise RequestError(
                f"{manifest.identity}: logits are not stored and follow from head {str(manifest.head_sha256)[:12]}, "
                f"but the head given is {head_sha256(head)[:12]}; give the head that the bank was written with"
            )
    return DiskBank(folder, manifest, head)


def _check_fits(manifest: Manifest, head: Head) -> None:
    pairs = (("features", manifest.n_features, head.n_features), ("logits", manifest.n_classes, head.n_classes))
    for name, stored, expected in pairs:
        if stored not in (None, expected):
            raise RequestError(
                f"{manifest.identity}: the bank's {name} have {stored} columns and the head's have {expected}; "
                "give the head of this bank"
            )
