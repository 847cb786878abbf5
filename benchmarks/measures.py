"""Metrics of many scorers over several sets: no part of a run's time that anyone should notice."""

from __future__ import annotations

import numpy as np

from benchmarks.clock import best
from ood_bench.metrics.ood import SortedScores, ood_metrics


def metrics(scorers: int = 45, sets: int = 6, rows: int = 50_000) -> float:
    """Seconds for all OOD metrics of `scorers` x `sets`, each set of `rows` scores, without intervals."""
    draw = np.random.default_rng(0)
    inside = draw.normal(1, 1, (scorers, rows)).astype(np.float32)
    outside = draw.normal(0, 1, (sets, rows)).astype(np.float32)

    def work() -> None:
        for scores in inside:
            known = SortedScores(scores)
            for other in outside:
                ood_metrics(known, other)

    return best(work, tries=3, seconds=6)
