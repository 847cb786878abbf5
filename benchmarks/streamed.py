"""A bank that does not fit in the budget: written to disk shard by shard, fitted and scored, peak memory watched."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.clock import PeakMemory
from benchmarks.problem import Size, World
from ood_bench.bank.catalog import find_bank
from ood_bench.bank.heads import write_head
from ood_bench.bank.manifest import Identity
from ood_bench.bank.reader import DiskBank, open_bank
from ood_bench.bank.writer import BankWriter
from ood_bench.canonical import sha256_of_lines
from ood_bench.engine import Learning, fit_all, score_bank
from ood_bench.home import Home
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream

MODEL, SPACE = "benchmark", "benchmark"
SEARCHED = 1000  # rows that neighbour scorers score, of a set this large


@dataclass(frozen=True)
class Streamed:
    """Seconds and peak memory of all scorers on banks from disk under a budget."""

    group: str
    scorers: int
    n_fit: int
    n: int
    fit: float
    score: float
    budget_gib: float
    peak_gib: float | None
    own: dict[str, tuple[float, float]]  # by scorer: seconds of fit and score that it shares with nobody
    shared_fit: dict[str, float]  # by question that several ask
    shared_score: dict[str, float]  # by intermediate
    extrapolated: float | None = None  # seconds of scoring the whole set, where only a part was scored
    refused: tuple[str, ...] = ()


def write_banks(folder: Path, size: Size) -> None:
    """Banks of one model in a home: fit, val and the set that is scored. What is there already is kept."""
    home, world = Home(folder), World(size)
    head = world.head
    write_head(home.head_folder(MODEL, None, SPACE), head, SPACE)
    for seed, (name, n) in enumerate((("fit", size.n_fit), ("val", min(size.n, 5000)), ("test", size.n))):
        ids = [f"{name}-{row}" for row in range(n)]
        identity = Identity(MODEL, None, name, sha256_of_lines(ids), "source", SPACE)
        writer = BankWriter(home, identity, kind_of_labels="id", head=head, n_expected=n)
        for first in range(writer.rows_done, n, 8192):
            stop = min(n, first + 8192)
            features, logits, labels = world.rows(stop - first, seed * 1_000_003 + first)
            writer.add(ids[first:stop], {"features": features, "logits": logits, "labels": labels})
        writer.finish()


def open_banks(folder: Path, size: Size) -> tuple[Learning, DiskBank]:
    """What was written, for learning and for scoring."""
    home, head, banks = Home(folder), World(size).head, {}
    for name in ("fit", "val", "test"):
        found = find_bank(home, MODEL, None, name)
        assert found is not None
        banks[name] = open_bank(found, head)
    return Learning(head, banks["fit"], banks["val"]), banks["test"]


def run(
    names: Sequence[str],
    learning: Learning,
    test: DiskBank,
    budget: int,
    *,
    group: str,
    base: int | None,
    first: int | None = None,
) -> Streamed:
    """Fit and score under a budget. `first`: only so many rows of the set are scored. `base`: bytes of resident memory
    above which the peak is counted."""
    info = describe(learning, [test])
    stream = Stream(torch.device("cpu"), budget)
    specs = [parse_spec(name).resolved(info) for name in names]
    scored = test if first is None else part(test, min(first, test.n))
    assert learning.fit is not None
    with PeakMemory(base) as memory:
        started = time.perf_counter()
        fits = fit_all(specs, learning, info, stream)
        fit = time.perf_counter() - started
        started = time.perf_counter()
        done = score_bank(list(fits.fitted.values()), scored, learning, info, stream)
        score = time.perf_counter() - started
    return Streamed(
        group,
        len(done.scores),
        learning.fit.n,
        scored.n,
        fit,
        score,
        budget / 2**30,
        None if memory.above is None else memory.above / 2**30,
        {
            str(one.spec): (round(one.seconds, 3), round(done.scores[one.spec].seconds, 3))
            for one in fits.fitted.values()
            if one.spec in done.scores
        },
        {one.question: round(one.seconds, 2) for one in fits.passes if len(one.used_by) > 1},
        {name: round(seconds, 3) for name, seconds in done.shared_seconds.items()},
        None if first is None else score * test.n / scored.n,
        tuple(f"{spec}: {refusal.reason}" for spec, refusal in {**fits.refused, **done.refused}.items()),
    )


def part(bank: DiskBank, n: int) -> DiskBank:
    """The first rows of a bank, as a bank."""
    return replace(bank, manifest=replace(bank.manifest, n=n))
