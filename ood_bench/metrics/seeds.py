"""One metric over several trained checkpoints: mean and standard deviation, with its degrees of freedom said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeedSummary:
    """Mean and standard deviation over seeds. `ddof` 0 is the population's (OpenOOD prints it), 1 the sample's."""

    mean: float
    std: float | None  # None for fewer than ddof + 1 seeds
    n: int
    ddof: int

    def percent(self, digits: int = 2) -> str:
        """In percent, as tables print it: "81.78 ± 3.98", or the mean alone where there is no deviation."""
        mean = f"{100 * self.mean:.{digits}f}"
        return mean if self.std is None else f"{mean} ± {100 * self.std:.{digits}f}"


def over_seeds(values: Sequence[float], *, ddof: int = 0) -> SeedSummary:
    """The mean over seeds; a group's row is the mean over its sets first, then this over seeds."""
    n = len(values)
    if n == 0:
        raise ValueError("a mean over seeds needs at least one seed, got none")
    mean = math.fsum(values) / n
    spread = math.fsum((value - mean) ** 2 for value in values)
    return SeedSummary(mean, math.sqrt(spread / (n - ddof)) if n > ddof else None, n, ddof)
