"""Our scorers: each alone and all together, fit and score, against their lower bounds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.bounds import Bound, bounds
from benchmarks.clock import PeakMemory, best, timed
from benchmarks.machine import Limits
from benchmarks.problem import Problem
from ood_bench.engine import Scored, fit_all, score_bank
from ood_bench.errors import CannotScore
from ood_bench.fitting import Fitted
from ood_bench.registry import SCORERS
from ood_bench.specs import Spec, parse_spec
from ood_bench.stream import Stream

# Scorers of the logits without products of K x K: one read, one sum of exponentials and one selection serve them all.
LOGIT_FAMILY = [
    "msp",
    "maxlogit",
    "energy",
    "entropy",
    "margin",
    "gen",
    "energy-topn",
    "doctor-alpha",
    "doctor-beta",
    "logitgap",
    "logitgap-exp",
    "logitgap-square",
    "logitgap-sqrt",
]


DEAR = 10.0  # seconds of a fit that is not repeated


@dataclass(frozen=True)
class Alone:
    """One scorer by itself: seconds, what it must take at least, and memory above that of the banks."""

    scorer: str
    fit: float
    score: float
    fit_bound: float | None
    score_bound: float | None
    peak_mib: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.score_bound is None else self.score / self.score_bound

    @property
    def total_ratio(self) -> float | None:
        if self.fit_bound is None or self.score_bound is None:
            return None
        return (self.fit + self.score) / (self.fit_bound + self.score_bound)


@dataclass(frozen=True)
class Together:
    """All scorers in one run: seconds, and the sum of the distinct work done (each shared piece once)."""

    scorers: int
    fit: float
    score: float
    distinct_fit: float
    distinct_score: float
    peak_mib: float | None

    @property
    def ratio(self) -> float:
        return (self.fit + self.score) / (self.distinct_fit + self.distinct_score)


def every_name(leave_out: Sequence[str] = ()) -> list[str]:
    return [name for name in SCORERS.names() if name not in leave_out]


def resolved(names: Sequence[str], problem: Problem) -> list[Spec]:
    """Specs that can run on this problem."""
    specs = []
    for name in names:
        with contextlib.suppress(CannotScore):
            specs.append(parse_spec(name).resolved(problem.info))
    return specs


def alone(names: Sequence[str], problem: Problem, limits: Limits, stream: Stream, tries: int) -> list[Alone]:
    """Every scorer by itself, as if nothing were shared."""
    found: dict[str, tuple[float, float, float | None]] = {}
    learned: dict[str, dict[str, object]] = {}
    for spec in resolved(names, problem):
        with PeakMemory() as memory:
            fits, fit = timed(partial(fit_all, [spec], problem.learning, problem.info, stream))
            if spec not in fits.fitted:
                continue
            fitted = fits.fitted[spec]
            if fit < DEAR:
                fit = min(fit, best(partial(fit_all, [spec], problem.learning, problem.info, stream), tries=tries))
            score = best(partial(_score, [fitted], problem, stream), tries=4 * tries)
        name = spec.name.removesuffix("+energy")
        learned[name] = dict(fitted.learned)
        found[name] = fit, score, None if memory.above is None else memory.above / 2**20
        print(f"  {name}: fit {fit:.3f} s, score {score:.4f} s", file=sys.stderr, flush=True)
    known = bounds(limits, learned)
    size = problem.size
    rows = []
    for name, (fit, score, peak) in found.items():
        bound: Bound | None = known.get(name)
        least_fit = None if bound is None else bound.fit.seconds(limits, size.n_fit)
        least_score = None if bound is None else bound.score.seconds(limits, size.n)
        rows.append(Alone(name, fit, score, least_fit, least_score, peak))
    return rows


def together(names: Sequence[str], problem: Problem, limits: Limits, stream: Stream, tries: int) -> Together:
    """All scorers at once, the best of some runs."""
    specs = resolved(names, problem)
    runs = []
    with PeakMemory() as memory:
        for _ in range(tries):
            fits, fit = timed(partial(fit_all, specs, problem.learning, problem.info, stream))
            scored, score = timed(partial(_scored, list(fits.fitted.values()), problem, stream))
            own_fit = sum(one.seconds for one in fits.fitted.values())
            shared_fit = sum(done.seconds for done in fits.passes if len(done.used_by) > 1)
            own = sum(scores.seconds for scores in scored.scores.values())
            shared = sum(scored.shared_seconds.values())
            runs.append((fit + score, fit, score, own_fit + shared_fit, own + shared, len(scored.scores)))
            del fits, scored  # the next run's memory is its own
    _, fit, score, distinct_fit, distinct_score, count = min(runs)
    peak = None if memory.above is None else memory.above / 2**20
    return Together(count, fit, score, distinct_fit, distinct_score, peak)


def logit_family(names: Sequence[str], problem: Problem, stream: Stream, tries: int) -> float:
    """Seconds of scoring a set with all of the given scorers of the logits."""
    specs = resolved(names, problem)
    fits = fit_all(specs, problem.learning, problem.info, stream)
    return best(lambda: _score(list(fits.fitted.values()), problem, stream), tries=8 * tries, seconds=4)


def cpu_stream(memory: int) -> Stream:
    return Stream(torch.device("cpu"), memory)


def _score(fitted: Sequence[Fitted], problem: Problem, stream: Stream) -> None:
    _scored(fitted, problem, stream)


def _scored(fitted: Sequence[Fitted], problem: Problem, stream: Stream) -> Scored:
    return score_bank(fitted, problem.test, problem.learning, problem.info, stream)
