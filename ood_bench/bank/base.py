"""The one face of a bank, on disk or in memory: what everything that scores reads from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

# Tensors with one entry per row. Labels are always there; -1 means none.
ROW_TENSORS = ("features", "logits", "labels", "source_labels", "members", "local_features")
INTEGER_TENSORS = frozenset({"labels", "source_labels"})
# Tensors that belong to the bank as a whole.
CONSTANTS = ("text_features", "negative_text_features")

KindOfLabels = Literal["id", "ood"]


@runtime_checkable
class Bank(Protocol):
    """What one backbone said about one set of inputs, read in batches of rows in the order of the list."""

    @property
    def set(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def model_seed(self) -> int | None: ...
    @property
    def label_space(self) -> str: ...
    @property
    def n(self) -> int: ...
    @property
    def n_features(self) -> int | None: ...
    @property
    def n_classes(self) -> int | None: ...
    @property
    def inputs(self) -> frozenset[str]:
        """Names of the tensors that exist for every row; logits that follow from features and head included."""

    @property
    def constants(self) -> Mapping[str, Tensor]:
        """Tensors that are not per row: `text_features`, `negative_text_features`."""

    @property
    def abstain_index(self) -> int | None: ...
    @property
    def sha256(self) -> str:
        """The bank hash: every tensor and the identity."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def has_labels(self) -> bool:
        """Whether any row carries an ID class."""

    @property
    def head_refused(self) -> str | None:
        """Why the head must not be used with this bank: it does not reproduce the logits."""

    def batches(self, rows: int, names: Collection[str] | None = None) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Index of the first row, and CPU tensors in storage dtype; exactly `rows` rows but for the last batch.

        `names` limits what is read and derived; all of `inputs` where it is None.
        """

    def read(self, name: str) -> Tensor:
        """One whole tensor; for banks that fit in memory."""
