"""Banks as batches on a device: how many rows at a time, and in which type."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ood_bench.bank.base import Bank
from ood_bench.batch import Batch
from ood_bench.errors import RequestError
from ood_bench.transfer import PinnedCopies
from ood_bench.types import Head

# Tensors of one batch's size that are alive at once when every scorer runs: float64 views, tails, products, and what
# eleven rectifiers leave behind. Measured with all scorers at d = 2048, K = 1000: benchmarks/ prints the peak.
COPIES = 40
FEWEST_ROWS, MOST_ROWS = 64, 8192
CACHED = 12 << 20  # bytes of a batch on a CPU: float64 copies of it then come from memory that is used again
BLOCK = 1 << 23  # products held at once in a search on a CPU: 32 MiB, above which every one is new memory
USUAL = frozenset({"features", "logits", "labels"})


@dataclass(frozen=True)
class Stream:
    """Where the arithmetic happens, and how many bytes it may use beside what the program itself needs."""

    device: torch.device
    memory: int
    rows: int | None = None  # fixed number of rows per batch, for tests and measurements
    copies: bool = True  # batches never share memory with a bank; without, whoever reads them must modify nothing

    def for_readers(self, *, trusted: bool) -> Stream:
        """The same stream for scorers of our own, which are tested to modify nothing, or for a plug-in's."""
        return replace(self, copies=not trusted)

    def rows_for(self, bank: Bank) -> int:
        """Rows per batch: all intermediates within a quarter of the budget, and on a CPU few enough for its caches."""
        if self.rows is not None:
            return self.rows
        width = 4 * _numbers_per_row(bank)
        most = self.memory // 4 // (COPIES * width)
        if self.device.type == "cpu":
            most = min(most, CACHED // width)
        return max(FEWEST_ROWS, min(MOST_ROWS, most))

    def rows_searched(self, bank: Bank, kept: int) -> int:
        """Rows searched for neighbours together, of which each keeps `kept` numbers: within a quarter of the budget.

        The more, the less often the fit bank is read.
        """
        if self.rows is not None:
            return self.rows
        per_row = 4 * (4 * _numbers_per_row(bank) + 3 * kept)
        return max(FEWEST_ROWS, self.memory // 4 // per_row)

    def rows_beside(self, bank: Bank) -> int:
        """Rows of the fit bank that pass the searched ones together, within an eighth of the budget."""
        per_row = 4 * 6 * _numbers_per_row(bank)
        return self.rows or max(FEWEST_ROWS, min(MOST_ROWS, self.memory // 8 // per_row))

    def searched_at_once(self) -> int:
        """Searched rows times fit rows in one product; on a CPU few enough that memory is used again, not asked anew."""
        block = self.memory // 64
        return min(block, BLOCK) if self.device.type == "cpu" else block

    def may_stay(self, bank: Bank, copies: int = 1) -> bool:
        """Whether the whole bank, `copies` times, may be kept on the device between passes: a quarter of the budget."""
        return 4 * bank.n * copies * _numbers_per_row(bank) <= self.memory // 4

    def batches(
        self,
        bank: Bank,
        head: Head | None,
        n_classes: int | None,
        rows: int | None = None,
        names: Collection[str] | None = None,
    ) -> Iterator[Batch]:
        """The rows of a bank in order, in at least float32; `rows` at a time, by default as many as `rows_for` says.

        `names` are the tensors that someone wants, of those that the bank has; None = all.
        """
        return self.dressed(self.tensors(bank, rows, names), bank, head, n_classes)

    def tensors(
        self, bank: Bank, rows: int | None = None, names: Collection[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Index of the first row, and the tensors of a batch on the device."""
        batches = bank.batches(rows or self.rows_for(bank), None if names is None else bank.inputs & frozenset(names))
        if self.device.type == "cuda":
            batches = PinnedCopies(self.device).ahead(batches)
        for start, tensors in batches:
            yield start, {name: self._place(tensor) for name, tensor in tensors.items()}

    def dressed(
        self,
        batches: Iterable[tuple[int, Mapping[str, Tensor]]],
        bank: Bank,
        head: Head | None,
        n_classes: int | None,
    ) -> Iterator[Batch]:
        """Tensors on the device as batches, with the head in their floating type and what all rows share."""
        constants = {name: self._place(tensor) for name, tensor in bank.constants.items()}
        placed: Head | None = None
        for start, tensors in batches:
            features, logits, labels = (tensors.get(name) for name in ("features", "logits", "labels"))
            if head is not None and placed is None:
                floating = features if features is not None else logits
                placed = head.to(self.device, torch.float32 if floating is None else floating.dtype)
            yield Batch(
                features=features,
                logits=logits,
                labels=labels,
                head=placed,
                start=start,
                extras={name: tensor for name, tensor in tensors.items() if name not in USUAL},
                constants=constants,
                n_classes=n_classes,
                abstain_index=bank.abstain_index,
            )

    def _place(self, tensor: Tensor) -> Tensor:
        """In at least float32; never the memory of the bank itself, unless readers are trusted with it."""
        wide = tensor.dtype
        if tensor.is_floating_point() and wide != torch.float64:
            wide = torch.float32
        return tensor.to(self.device, wide, copy=self.copies and tensor.device.type == "cpu")


@dataclass(eq=False)
class Feed:
    """A bank that is streamed once per pass; after the first it stays on the device, where it may."""

    stream: Stream
    bank: Bank
    head: Head | None
    n_classes: int | None
    names: frozenset[str] | None = None  # of the tensors that are wanted; None = all
    held: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Batch]:
        if self.versions != self._versions():  # someone wrote into a batch: whoever follows gets the rows anew
            self.held, self.versions = [], []
        tensors: Iterable[tuple[int, dict[str, Tensor]]] = self.held or self._streamed()
        return self.stream.dressed(tensors, self.bank, self.head, self.n_classes)

    def _streamed(self) -> Iterator[tuple[int, dict[str, Tensor]]]:
        keep, kept = self.stream.may_stay(self.bank), []
        for start, tensors in self.stream.tensors(self.bank, names=self.names):
            if keep:
                kept.append((start, tensors))
            yield start, tensors
        self.held, self.versions = kept, [0] * sum(len(tensors) for _, tensors in kept)

    def _versions(self) -> list[int]:
        return [tensor._version for _, tensors in self.held for tensor in tensors.values()]


def _numbers_per_row(bank: Bank) -> int:
    """How many numbers the tensors of one row hold, `members` and `local_features` included."""
    unusual = bank.inputs - USUAL
    further = next(bank.batches(1, unusual))[1] if unusual and bank.n else {}
    return 1 + (bank.n_features or 0) + (bank.n_classes or 0) + sum(tensor.numel() for tensor in further.values())


def choose_device(wanted: str) -> torch.device:
    """`auto` is the GPU when there is one; `cuda` without a GPU is an error, not a silent CPU run."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise RequestError(f"--device takes auto, cpu or cuda, got {wanted!r}")
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise RequestError("--device cuda expects a CUDA GPU, but torch sees none here; use --device cpu (or auto)")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")
