"""Shares of a set turned into whole rows, in exact arithmetic: 0.95 means 95/100 here, not its nearest float."""

from __future__ import annotations

import math
from fractions import Fraction


def rows_at_least(share: float, n: int) -> int:
    """The smallest k >= 1 with k / n >= share."""
    return math.ceil(_exact(share) * n)


def rows_at_most(share: float, n: int) -> int:
    """The largest k with k / n <= share."""
    return math.floor(_exact(share) * n)


def part_of(share: float, total: float) -> float:
    """share * total, rounded once: a whole number where it is one."""
    return float(_exact(share) * Fraction(total))


def _exact(share: float) -> Fraction:
    if not 0 < share <= 1:
        raise ValueError(f"expected a share in (0, 1], got {share}")
    return Fraction(str(float(share)))  # the shortest decimal that names this float, which is what the caller wrote
