"""ID accuracy of a bank, beside what the publisher of the weights prints: a wrong transform shows here first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ood_bench.backbones.presets import Preset
from ood_bench.bank.reader import open_bank
from ood_bench.types import Head

TOLERANCE = 0.5  # points
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Accuracy:
    """`share` is ours; `expected` the printed percentage, None where none is printed for this very set."""

    set: str
    n: int
    share: float
    expected: float | None = None
    source: str = ""

    @property
    def off(self) -> float | None:
        """Ours minus the printed one in points."""
        return None if self.expected is None else 100 * self.share - self.expected

    @property
    def warning(self) -> str | None:
        """What to tell the user where ours is too far from the printed one."""
        if self.off is None or abs(self.off) <= TOLERANCE:
            return None
        return (
            f"WARNING: ID accuracy on {self.set} is {100 * self.share:.2f} %, and {self.expected:.2f} % is printed "
            f"({self.source}): {self.off:+.2f} points. A wrong transform, other weights or another order of the classes "
            "are the usual causes; figures from these banks are not those of the paper until this is explained."
        )

    def __str__(self) -> str:
        ours = f"ID accuracy on {self.set}: {100 * self.share:.2f} % of {self.n}"
        return ours if self.expected is None else f"{ours} (printed: {self.expected:.2f} %, {self.source})"


def measure(folder: Path, head: Head | None, preset: Preset | None) -> Accuracy | None:
    """The accuracy of a bank with labels and logits; None where it lacks either."""
    bank = open_bank(folder, head)
    if not bank.has_labels or "logits" not in bank.inputs:
        return None
    correct = sum(
        int((rows["logits"].argmax(dim=1) == rows["labels"]).sum())
        for _, rows in bank.batches(_ROWS, ("logits", "labels"))
    )
    share = correct / bank.n
    if preset is None or not preset.accuracy or preset.accuracy_on != bank.set:
        return Accuracy(bank.set, bank.n, share)
    return Accuracy(bank.set, bank.n, share, float(preset.accuracy), preset.accuracy_source)
