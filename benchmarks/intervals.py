"""Seconds for all intervals of a suite: 40 scorers, 5,000 ID rows, six OOD sets of 5,000 rows, 1,000 resamples.

    python benchmarks/intervals.py [--scorers 40] [--rows 5000] [--sets 6] [--resamples 1000] [--processes 2]

AUROC by DeLong per set; every OOD metric per set and per group mean by bootstrap; AURC, AUGRC and accuracy by
bootstrap. The scores have no ties, which is the slower case. Processes share nothing but the machine.

Measured on two shared cores (load 8): 2,600 intervals in 22.3 s with one process, 27.2 s with two.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from ood_bench.metrics.bootstrap import METRICS, bootstrap_ood, bootstrap_selective
from ood_bench.metrics.intervals import auroc_interval

TOGETHER = 16  # as ood_bench.store.uncertainty takes them


def intervals(scorers: range, rows: int, sets: int, resamples: int) -> int:
    """Make every interval of the scorers, and return how many."""
    draws = {f"s{i}": np.random.default_rng(i) for i in scorers}
    inside = {name: draw.normal(1, 1, rows).astype(np.float32) for name, draw in draws.items()}
    outside = {
        f"o{j}": {name: draw.normal(0, 1, rows).astype(np.float32) for name, draw in draws.items()} for j in range(sets)
    }
    correct = np.random.default_rng(0).uniform(size=rows) < 0.9
    resampled = bootstrap_ood(inside, outside, resamples=resamples)
    selective = bootstrap_selective(inside, correct, resamples=resamples)
    names = list(outside)
    groups = [[name] for name in names] + [names[: sets // 2], names[sets // 2 :]]
    count = 0
    for scorer in inside:
        for group in groups:
            count += len([resampled.interval(scorer, group, metric) for metric in METRICS])
        count += len([auroc_interval(inside[scorer], outside[name][scorer]) for name in names])
        count += len([selective.interval(scorer, ["id"], metric) for metric in selective.metrics])
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("scorers", 40), ("rows", 5000), ("sets", 6), ("resamples", 1000), ("processes", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    parts = [range(at, min(at + TOGETHER, given.scorers)) for at in range(0, given.scorers, TOGETHER)]
    work = partial(intervals, rows=given.rows, sets=given.sets, resamples=given.resamples)
    start = time.perf_counter()
    if given.processes > 1:
        with ProcessPoolExecutor(given.processes) as pool:
            count = sum(pool.map(work, parts))
    else:
        count = sum(map(work, parts))
    seconds = time.perf_counter() - start
    print(
        f"{count} intervals of {given.scorers} scorers x {given.sets} sets of {given.rows} rows, "
        f"{given.resamples} resamples: {seconds:.1f} s with {given.processes} process(es)"
    )


if __name__ == "__main__":
    main()
