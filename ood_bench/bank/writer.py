"""Writes a bank to disk shard by shard: checks rows, goes on after a cut, and never overwrites other content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ood_bench.bank.base import CONSTANTS, INTEGER_TENSORS, KindOfLabels
from ood_bench.bank.checks import accept_rows, check_abstain, check_constant, row_name
from ood_bench.bank.content import STORAGE, ContentHash, StorageName, dtype_name, info_of
from ood_bench.bank.heads import HeadFit, check_head, head_sha256, judge_head, why_refused, worse
from ood_bench.bank.manifest import (
    REMEDY,
    Identity,
    Manifest,
    bank_hash,
    has_manifest,
    read_manifest,
    write_manifest,
)
from ood_bench.bank.partial import PartialBank, place_to_write
from ood_bench.bank.verify import verify
from ood_bench.canonical import sha256_of, sha256_of_lines
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.types import Head


class BankWriter:
    """Takes the rows of one bank in order, in pieces of any size; `finish` makes the bank.

    Where the bank was cut off before, `rows_done` rows are on disk already and the caller starts after them.
    Where the bank exists, nothing is written: `finish` returns it if the content is the same and refuses otherwise,
    unless `replace` is set. `source` says what the rows are made from; a cut-off bank made from something else is
    not gone on with. `keep_logits=False` leaves out logits that follow from features and head. Members without logits
    are stored with their mean as logits.
    """

    def __init__(
        self,
        home: Home,
        identity: Identity,
        *,
        kind_of_labels: KindOfLabels,
        head: Head | None,
        dtype: StorageName = "fp32",
        rows_per_shard: int = 65536,
        n_expected: int | None = None,
        replace: bool = False,
        constants: Mapping[str, Tensor | np.ndarray] | None = None,
        keep_logits: bool = True,
        source: str = "",
    ) -> None:
        self._name = str(identity)
        if rows_per_shard < 1:
            raise RequestError(f"{self._name}: a shard needs at least one row, got rows_per_shard={rows_per_shard}")
        self._identity, self._kind, self._dtype = identity, kind_of_labels, STORAGE[dtype]
        self._head = None if head is None else check_head(head)
        self._head_sha256 = None if head is None else head_sha256(head)
        self._n_expected, self._keep_logits, self._rows_per_shard = n_expected, keep_logits, rows_per_shard
        self._constants = {
            name: check_constant(self._name, name, value, CONSTANTS, self._dtype)
            for name, value in (constants or {}).items()
        }
        self._content, self._ids = ContentHash(), list[str]()
        self._fit: HeadFit | None = None
        self._kept: tuple[bool, dict[str, tuple[int, ...]]] | None = (
            None  # labelled?, and the shapes, of all rows so far
        )
        self._buffer, self._buffered = list[dict[str, Tensor]](), 0
        self.folder = identity.folder(home)
        self._existing, self._partial = self._open(overwrite=replace, source=source)
        self._recall()
        self.rows_done = len(self._ids)

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all rows so far, on disk and added."""
        return self._ids

    def add(self, ids: Sequence[str], tensors: Mapping[str, Tensor | np.ndarray]) -> None:
        """Check the rows and take them; whole shards go to disk."""
        if not len(ids) and all(tensor.shape[:1] == (0,) for tensor in tensors.values()):
            return
        first = len(self._ids)
        accepted = accept_rows(
            self._name, ids, tensors, kind=self._kind, head=self._head, dtype=self._dtype, first_row=first
        )
        self._check_alike(ids, accepted)
        self._ids.extend(ids)
        start = 0
        while start < len(ids):
            stop = min(len(ids), start + self._rows_per_shard - self._buffered)
            self._buffer.append({name: self._stored(name, tensor[start:stop]) for name, tensor in accepted.items()})
            self._buffered += stop - start
            start = stop
            if self._buffered == self._rows_per_shard:
                self._flush(first + stop)

    def finish(self) -> Manifest:
        """Write the rest, the ids and last the manifest; the bank exists from here on."""
        n = len(self._ids)
        if not n:
            raise RequestError(f"{self._name}: a set needs at least one row, got none; check what was exported")
        if self._n_expected not in (None, n):
            raise RequestError(f"{self._name}: {self._n_expected} rows were announced and {n} came; check the source")
        if self._buffered:
            self._flush(n)
        manifest = self._manifest()
        if self._existing is not None:
            return self._settle(self._existing, manifest)
        assert self._partial is not None
        manifest = replace(manifest, shards=tuple(part.shard for part in self._partial.parts))
        self._partial.finish(manifest, self._constants)
        return manifest

    def discard(self) -> None:
        """Remove what this writer has written; for input that turns out to be bad half-way."""
        if self._partial is not None:
            self._partial.discard()

    def _open(self, *, overwrite: bool, source: str) -> tuple[Manifest | None, PartialBank | None]:
        """The finished bank to compare with, or the folder to write."""
        place = place_to_write(self.folder)
        if has_manifest(self.folder) and not overwrite:
            return read_manifest(self.folder), None
        decisive = (self._kind, self._head_sha256, self._rows_per_shard, self._keep_logits, source)
        settings = sha256_of([asdict(self._identity), dtype_name(self._dtype), *decisive])
        return None, PartialBank(self.folder, place, settings, self._rows_per_shard)

    def _recall(self) -> None:
        """Take up what an earlier, cut-off write has left in whole shards."""
        for part in self._partial.parts if self._partial is not None else ():
            assert self._partial is not None
            tensors = load_file(self._partial.folder / part.shard.file)
            self._content.add(tensors)
            self._kept = self._looks(tensors)
            self._ids.extend(part.ids)
            self._fit = worse(self._fit, part.fit)

    def _looks(self, rows: Mapping[str, Tensor]) -> tuple[bool, dict[str, tuple[int, ...]]]:
        """Whether rows carry ID classes, and the shapes of what is stored of each."""
        dropped = () if self._keep_logits else ("logits",)
        shapes = {name: tuple(tensor.shape[1:]) for name, tensor in sorted(rows.items()) if name not in dropped}
        return bool(rows["labels"][0] >= 0), shapes

    def _check_alike(self, ids: Sequence[str], rows: Mapping[str, Tensor]) -> None:
        """All rows of a bank have the same tensors of the same shapes, and all or none have labels."""
        looks = self._looks(rows)
        kept = self._kept or looks
        where = row_name(len(self._ids), ids[0])
        if looks[1] != kept[1]:
            raise RequestError(
                f"{self._name}: all rows should have {kept[1]} like the first, got {looks[1]} from {where} on"
            )
        if looks[0] != kept[0]:
            raise RequestError(f"{self._name}: either every row has a label or none (-1); that changes at {where}")
        if self._kept is None:
            logits = rows.get("logits")
            check_abstain(
                self._name, self._identity.abstain_index, logits.shape[1] if logits is not None else self._head_classes
            )
            if not self._keep_logits and (self._head is None or "features" not in rows):
                raise RequestError(
                    f"{self._name}: logits can be left out only where features and a head give them back"
                )
        self._kept = kept

    @property
    def _head_classes(self) -> int | None:
        return None if self._head is None else self._head.n_classes

    def _stored(self, name: str, rows: Tensor) -> Tensor:
        """A copy in storage dtype: the caller may fill the same memory again."""
        return rows.to(torch.int64 if name in INTEGER_TENSORS else self._dtype, copy=True).contiguous()

    def _flush(self, stop: int) -> None:
        """Turn the buffer into the shard that ends before row `stop`."""
        rows = {name: torch.cat([piece[name] for piece in self._buffer]) for name in self._buffer[0]}
        self._buffer, ids = [], tuple(self._ids[stop - self._buffered : stop])
        self._buffered = 0
        fit = judge_head(self._name, self._head, rows)
        self._fit = worse(self._fit, fit)
        if not self._keep_logits:
            refused = why_refused(self._fit)
            if refused is not None:
                raise RequestError(f"{self._name}: logits cannot be left out, because {refused}; keep them")
            rows.pop("logits", None)
        self._content.add(rows)
        if self._partial is not None:
            self._partial.add(rows, ids, fit)

    def _manifest(self) -> Manifest:
        tensors, n, ids_sha256 = self._content.infos(), len(self._ids), sha256_of_lines(self._ids)
        constants = {name: info_of(tensor) for name, tensor in sorted(self._constants.items())}
        return Manifest(
            identity=self._identity,
            n=n,
            tensors=tensors,
            shards=(),
            rows_per_shard=self._rows_per_shard,
            ids_sha256=ids_sha256,
            head_sha256=self._head_sha256,
            head_error=None if self._fit is None else self._fit[0],
            versions={name: metadata.version(name) for name in ("ood-bench", "torch", "numpy", "safetensors")},
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            bank_sha256=bank_hash(self._identity, n, tensors, ids_sha256, constants, self._head_sha256),
            head_refused=why_refused(self._fit),
            head_classes=self._head_classes,
            has_labels=self._kept is not None and self._kept[0],
            constants=constants,
        )

    def _settle(self, existing: Manifest, given: Manifest) -> Manifest:
        """The bank that is there, if it holds what was given; a head that came later is noted in its manifest."""
        if existing.bank_sha256 != given.bank_sha256:
            raise RequestError(
                f"{self._name} is already in {self.folder} with other content (bank {existing.bank_sha256[:12]}, given "
                f"{given.bank_sha256[:12]}); pass --replace to put the new one in its place"
            )
        problems = verify(self.folder)
        if problems:
            raise IntegrityError(f"{self._name} is already there but damaged: {problems[0]}; {REMEDY}")
        if given.head_sha256 in (None, existing.head_sha256):
            return existing
        noted = replace(
            existing,
            head_sha256=given.head_sha256,
            head_error=given.head_error,
            head_refused=given.head_refused,
            head_classes=given.head_classes,
        )
        write_manifest(self.folder, noted)
        return noted
