"""Several scorers over several blocks: average ranks, Friedman's test, and the critical difference of Nemenyi's.

After Demsar, JMLR 7 (2006). A block is one OOD set on one checkpoint. Blocks that share an ID set or a checkpoint are
not independent, so the test is a guide to reading a table, not a proof.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from ood_bench.errors import RequestError


@dataclass(frozen=True, slots=True)
class Ranks:
    """Average ranks, the best (1 is the best there is) first. Scorers of one clique cannot be told apart."""

    names: tuple[str, ...]
    average: tuple[float, ...]
    blocks: int
    level: float
    critical_difference: float | None  # None for fewer than two blocks
    p_value: float | None  # Friedman's, that all scorers rank alike; None for fewer than three scorers or two blocks
    cliques: tuple[tuple[str, ...], ...]  # only those of two and more


def average_ranks(
    names: Sequence[str],
    values: Float[np.ndarray, "blocks scorers"],
    *,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> Ranks:
    """Rank the scorers within each block, ties sharing their mean rank, and average over blocks."""
    blocks, k = values.shape
    if k < 2 or blocks < 1 or k != len(names):
        raise RequestError(f"ranks need at least two scorers and one block, got {k} scorers and {blocks} blocks")
    ranks = rankdata(-values if higher_is_better else values, axis=1)
    mean = ranks.mean(axis=0)
    order = sorted(range(k), key=lambda i: (mean[i], names[i]))
    ordered, averages = tuple(names[i] for i in order), tuple(float(mean[i]) for i in order)
    difference = critical_difference(k, blocks, level) if blocks > 1 else None
    return Ranks(
        names=ordered,
        average=averages,
        blocks=blocks,
        level=level,
        critical_difference=difference,
        p_value=_friedman(ranks),
        cliques=() if difference is None else _cliques(ordered, averages, difference),
    )


def critical_difference(scorers: int, blocks: int, level: float = 0.95) -> float:
    """The smallest difference of two average ranks that Nemenyi's test tells apart."""
    quantile = float(studentized_range.ppf(level, scorers, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(scorers * (scorers + 1) / (6 * blocks))


def _friedman(ranks: Float[np.ndarray, "blocks scorers"]) -> float | None:
    blocks, k = ranks.shape
    if k < 3 or blocks < 2:
        return None
    if (ranks == ranks[0, 0]).all():
        return 1.0  # every block is one tie
    return float(friedmanchisquare(*ranks.T).pvalue)


def _cliques(names: Sequence[str], averages: Sequence[float], difference: float) -> tuple[tuple[str, ...], ...]:
    """Maximal runs of neighbours whose ends lie within the critical difference."""
    found: list[tuple[int, int]] = []
    for start in range(len(names)):
        end = max(i for i in range(len(names)) if averages[i] - averages[start] <= difference)
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return tuple(tuple(names[start : end + 1]) for start, end in found)
