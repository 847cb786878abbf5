"""A bank made of tensors in memory, checked exactly as one that is written to disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from torch import Tensor

from ood_bench.bank.base import CONSTANTS, KindOfLabels
from ood_bench.bank.checks import accept_rows, check_abstain, check_constant
from ood_bench.bank.content import ContentHash, info_of
from ood_bench.bank.heads import check_head, derive_logits, head_sha256, judge_head, why_refused
from ood_bench.bank.manifest import Identity, bank_hash
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.types import Head


@dataclass(frozen=True, eq=False)
class MemoryBank:
    """Tensors as a bank; make one with `MemoryBank.of`. `derived` holds logits that follow from features and head."""

    identity: Identity
    ids: Sequence[str]
    tensors: Mapping[str, Tensor]
    derived: Mapping[str, Tensor] = field(default_factory=dict)
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    head: Head | None = None
    head_error: float | None = None
    head_refused: str | None = None

    @classmethod
    def of(
        cls,
        set: str,
        *,
        model: str = "memory",
        model_seed: int | None = None,
        label_space: str = "",
        features: Tensor | np.ndarray | None = None,
        logits: Tensor | np.ndarray | None = None,
        labels: Tensor | np.ndarray | None = None,
        ids: Sequence[str] | None = None,
        kind_of_labels: KindOfLabels = "id",
        head: Head | None = None,
        constants: Mapping[str, Tensor | np.ndarray] | None = None,
        abstain_index: int | None = None,
        **optional: Tensor | np.ndarray,
    ) -> MemoryBank:
        """A bank of the given arrays; `optional` takes `members`, `local_features` and `source_labels`.

        Logits that are not given follow from features and head, or are the mean over the members. Floats keep their
        dtype. With `kind_of_labels="ood"`
        the labels are kept as `source_labels` and never taken for ID classes.
        """
        name = f"{model} on {set}"
        given = {"features": features, "logits": logits, "labels": labels, **optional}
        ids_kind: Literal["source", "row"] = "row" if ids is None else "source"
        n = next((len(array) for array in given.values() if array is not None and array.ndim), 0)
        ids = [str(row) for row in range(n)] if ids is None else list(ids)
        if not ids and any(array is not None for array in given.values()):
            raise RequestError(f"{name}: a set needs at least one row, got none; check what was exported")
        if head is not None:
            check_head(head)
        tensors = accept_rows(name, ids, given, kind=kind_of_labels, head=head)
        kept = {key: check_constant(name, key, value, CONSTANTS) for key, value in (constants or {}).items()}
        derived, error, refused = _meet(name, head, tensors)
        n_classes = next((t.shape[1] for t in (tensors.get("logits"), derived.get("logits")) if t is not None), None)
        check_abstain(name, abstain_index, n_classes)
        identity = Identity(
            model, model_seed, set, sha256_of_lines(ids), ids_kind, label_space, abstain_index=abstain_index
        )
        return cls(identity, ids, tensors, derived, kept, head, error, refused)

    @property
    def set(self) -> str:
        return self.identity.set

    @property
    def model(self) -> str:
        return self.identity.model

    @property
    def model_seed(self) -> int | None:
        return self.identity.model_seed

    @property
    def label_space(self) -> str:
        return self.identity.label_space

    @property
    def abstain_index(self) -> int | None:
        return self.identity.abstain_index

    @property
    def n(self) -> int:
        return len(self.ids)

    @property
    def n_features(self) -> int | None:
        return self.tensors["features"].shape[1] if "features" in self.tensors else None

    @property
    def n_classes(self) -> int | None:
        return self.read("logits").shape[1] if "logits" in self.inputs else None

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(self.tensors.keys() | self.derived.keys())

    @cached_property
    def has_labels(self) -> bool:
        return bool((self.tensors["labels"] >= 0).any())

    @cached_property
    def sha256(self) -> str:
        """Hash of contents and identity, computed as the hash of a stored bank is."""
        content = ContentHash()
        content.add(self.tensors)
        constants = {name: info_of(tensor) for name, tensor in self.constants.items()}
        head = None if self.head is None else head_sha256(self.head)
        return bank_hash(self.identity, self.n, content.infos(), self.identity.list_sha256, constants, head)

    def batches(self, rows: int, names: Collection[str] | None = None) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Views of the tensors, `rows` rows at a time."""
        if rows < 1:
            raise RequestError(f"a batch needs at least one row, got rows={rows}")
        wanted = {name: self.read(name) for name in sorted(self.inputs if names is None else names)}
        for start in range(0, self.n, rows):
            yield start, {name: tensor[start : start + rows] for name, tensor in wanted.items()}

    def read(self, name: str) -> Tensor:
        if name not in self.inputs:
            raise RequestError(f"{self.identity} has no `{name}`; it has {', '.join(sorted(self.inputs))}")
        return self.tensors[name] if name in self.tensors else self.derived[name]


def _meet(
    bank: str, head: Head | None, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], float | None, str | None]:
    """Logits that follow from the head, or how far it is from the ones that were given."""
    if head is None or "features" not in tensors:
        return {}, None, None
    fit = judge_head(bank, head, tensors)
    if fit is None:
        return {"logits": derive_logits(head, tensors["features"])}, None, None
    return {}, fit[0], why_refused(fit)
