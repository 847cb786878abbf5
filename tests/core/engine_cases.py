"""Every spec over every bank as the runner does it, and what sound scorers give alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from support import CPU, Problem, problem

from ood_bench.bank.base import Bank
from ood_bench.engine import Fits, Learning, Refusal, fit_all, score_bank
from ood_bench.registry import load_all
from ood_bench.requirements import describe
from ood_bench.specs import Spec, parse_spec
from ood_bench.stream import Stream

load_all()
SOUND = ("msp", "energy", "vim", "knn:k=5", "mano", "dcs", "entropy", "react+vim", "mds")


@dataclass(frozen=True)
class Outcome:
    scores: dict[str, np.ndarray]
    refused: dict[str, Refusal]
    fits: Fits


def run(
    specs: Collection[Spec],
    learning: Learning,
    banks: Collection[Bank],
    *,
    memory: int = 1 << 28,
    rows: int | None = 16,
) -> Outcome:
    """Every spec over every bank, as the runner does it."""
    info = describe(learning, banks)
    stream = Stream(CPU, memory, rows)
    fits = fit_all([spec.resolved(info) for spec in specs], learning, info, stream)
    refused = dict(fits.refused)
    parts: dict[Spec, list[np.ndarray]] = {}
    for bank in banks:
        done = score_bank(list(fits.fitted.values()), bank, learning, info, stream)
        refused = {**done.refused, **refused}  # the first reason stands
        for spec, scores in done.scores.items():
            parts.setdefault(spec, []).append(scores.values)
    whole = {str(spec): np.concatenate(part) for spec, part in parts.items() if len(part) == len(banks)}
    return Outcome(whole, {str(spec): refusal for spec, refusal in refused.items()}, fits)


def of_problem(given: Problem, specs: Collection[str], **options: Any) -> Outcome:
    learning = Learning(given.head, given.bank("fit"), given.bank("val"))
    return run(list(map(parse_spec, specs)), learning, [given.bank("test"), given.bank("ood")], **options)


GIVEN = problem()


@cache
def sound_alone() -> dict[str, np.ndarray]:
    return of_problem(GIVEN, SOUND).scores
