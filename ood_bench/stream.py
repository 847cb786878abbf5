"""Banks as batches on a device: how many rows at a time, in which type, copied so that nothing stored can be modified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ood_bench.bank.base import Bank
from ood_bench.batch import Batch
from ood_bench.errors import RequestError
from ood_bench.types import Head

# Tensors of one batch's size that are alive at once when every scorer runs: float64 views, tails, products.
COPIES = 12
FEWEST_ROWS, MOST_ROWS = 64, 8192


@dataclass(frozen=True)
class Stream:
    """Where the arithmetic happens, and how many bytes it may use beside what the program itself needs."""

    device: torch.device
    memory: int
    rows: int | None = None  # fixed number of rows per batch, for tests and measurements

    def rows_for(self, bank: Bank) -> int:
        """Rows per batch that keep all intermediates of one batch within half the budget."""
        if self.rows is not None:
            return self.rows
        per_row = 4 * COPIES * ((bank.n_features or 0) + (bank.n_classes or 0) + 1)
        return max(FEWEST_ROWS, min(MOST_ROWS, self.memory // 2 // per_row))

    def batches(self, bank: Bank, head: Head | None, n_classes: int | None) -> Iterator[Batch]:
        """The rows of a bank in order, in at least float32."""
        constants = {name: self._place(tensor) for name, tensor in bank.constants.items()}
        placed: Head | None = None
        for start, tensors in bank.batches(self.rows_for(bank)):
            on_device = {name: self._place(tensor) for name, tensor in tensors.items()}
            features, logits = on_device.pop("features", None), on_device.pop("logits", None)
            labels = on_device.pop("labels", None)
            if head is not None and placed is None:
                floating = features if features is not None else logits
                placed = head.to(self.device, torch.float32 if floating is None else floating.dtype)
            yield Batch(
                features=features,
                logits=logits,
                labels=labels,
                head=placed,
                start=start,
                extras=on_device,
                constants=constants,
                n_classes=n_classes,
                abstain_index=bank.abstain_index,
            )

    def _place(self, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.to(self.device, copy=True)
        wide = tensor.dtype if tensor.dtype == torch.float64 else torch.float32
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True).to(wide)
        return tensor.to(wide, copy=True)


def choose_device(wanted: str) -> torch.device:
    """`auto` is the GPU when there is one; `cuda` without a GPU is an error, not a silent CPU run."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise RequestError(f"--device takes auto, cpu or cuda, got {wanted!r}")
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise RequestError("--device cuda expects a CUDA GPU, but torch sees none here; use --device cpu (or auto)")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")
