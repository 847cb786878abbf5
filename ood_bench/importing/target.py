"""Where imported sets go: one model in one home. Checks a set against what is there, and writes it."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as with_changes
from pathlib import Path

import numpy as np
import torch

from ood_bench.bank.base import CONSTANTS, KindOfLabels
from ood_bench.bank.checks import accept_rows, check_abstain, check_constant
from ood_bench.bank.content import STORAGE, StorageName
from ood_bench.bank.heads import FILE as HEAD_FILE
from ood_bench.bank.heads import derive_logits, head_sha256, read_head, write_head
from ood_bench.bank.manifest import Identity, Manifest, has_manifest
from ood_bench.bank.writer import BankWriter
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.rows import SetRows
from ood_bench.types import Head

PREPROCESSING = "imported"  # what the images went through is the user's to know


@dataclass(frozen=True, eq=False)
class Target:
    """Everything that the sets of one import have in common."""

    home: Home
    model: str
    model_seed: int | None
    label_space: str
    head: Head | None
    dtype: StorageName
    replace: bool

    def check(self, rows: SetRows, kind: KindOfLabels) -> Manifest | None:
        """The bank that holds these very rows already, or None where it can be written. Writes nothing.

        Raises RequestError where the rows cannot make a bank, or where another bank has their place.
        """
        storage = STORAGE[self.dtype]
        accept_rows(rows.where, rows.ids, rows.arrays, kind=kind, head=self.head, dtype=storage)
        for name, array in rows.constants.items():
            check_constant(rows.where, name, array, CONSTANTS, storage)
        whole = self._with_logits(rows)
        if whole is not rows:
            accept_rows(
                f"{whole.where}, logits from the head", whole.ids, whole.arrays, kind=kind, head=None, dtype=storage
            )
        check_abstain(
            rows.where, rows.abstain_index, whole.arrays["logits"].shape[1] if "logits" in whole.arrays else None
        )
        if self.replace or not has_manifest(self._identity(rows).folder(self.home)):
            return None
        # A writer whose bank exists compares. It would also note a head that came later: that is left to `write`.
        manifest = self._fill(whole, kind, None, "")
        has_head = self.head is None or manifest.head_sha256 == head_sha256(self.head)
        return manifest if has_head else None

    def write(self, rows: SetRows, kind: KindOfLabels, source: str) -> Manifest:
        """Write the rows; `source` is the hash of what they were read from."""
        return self._fill(self._with_logits(rows), kind, self.head, source)

    def check_head(self) -> None:
        """Raise RequestError where the label space has another head."""
        folder = self._head_folder
        if self.head is None or self.replace or not (folder / HEAD_FILE).is_file():
            return
        if head_sha256(read_head(folder)) != head_sha256(self.head):
            raise RequestError(
                f"{self.model} has another head for the label space {self.label_space!r} at {folder}; "
                "pass --replace to put this one in its place, or keep both with --label-space NAME"
            )

    def write_head(self) -> str | None:
        """Write the head, if there is one; returns its hash."""
        if self.head is None:
            return None
        return write_head(self._head_folder, self.head, self.label_space, replace=self.replace)

    @property
    def _head_folder(self) -> Path:
        return self.home.head_folder(self.model, self.model_seed, self.label_space)

    def _identity(self, rows: SetRows) -> Identity:
        return Identity(
            model=self.model,
            model_seed=self.model_seed,
            set=rows.name,
            list_sha256=sha256_of_lines(rows.ids),
            ids_kind="source" if rows.given_ids else "row",
            label_space=self.label_space,
            preprocessing=PREPROCESSING,
            abstain_index=rows.abstain_index,
        )

    def _with_logits(self, rows: SetRows) -> SetRows:
        """The rows, with the logits that follow from features and head where none are given."""
        features = rows.arrays.get("features")
        if self.head is None or features is None or "logits" in rows.arrays:
            return rows
        native = np.require(features, features.dtype.newbyteorder("="), ["C", "W"])
        logits = derive_logits(self.head, torch.from_numpy(native)).numpy()
        return with_changes(rows, arrays={**rows.arrays, "logits": logits})

    def _fill(self, rows: SetRows, kind: KindOfLabels, head: Head | None, source: str) -> Manifest:
        writer = BankWriter(
            self.home,
            self._identity(rows),
            kind_of_labels=kind,
            head=head,
            dtype=self.dtype,
            n_expected=rows.n,
            replace=self.replace,
            constants=rows.constants,
            source=source,
        )
        done = writer.rows_done
        writer.add(rows.ids[done:], {name: array[done:] for name, array in rows.arrays.items()})
        return writer.finish()
