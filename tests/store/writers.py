"""A process of the concurrency test: writes its share of records, says how far it is, may be killed at any moment.

Run as `python writers.py HOME FIRST COUNT`. Every other key is shared by all writers, so that they also meet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from store_cases import record

from ood_bench.home import Home
from ood_bench.store.store import Store

SHARED_EVERY = 4


def scores_of(number: int) -> np.ndarray:
    """The scores of a numbered record: the same from every process."""
    return np.random.default_rng(number).normal(size=200).astype(np.float32)


def number_of(first: int, step: int) -> int:
    """The record a writer makes in a step: one of its own, or one that all writers make."""
    return -1 - step if step % SHARED_EVERY == 0 else first + step


def main(home: str, first: int, count: int) -> None:
    store = Store(Home(Path(home)))
    for step in range(count):
        number = number_of(first, step)
        # the last digits differ from process to process, as they would between machines
        scores = (scores_of(abs(number)) * np.float32(1 + 1e-7 * (first % 7))).astype(np.float32)
        store.put(record(scores, f"set-{number}"), scores)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
