"""Peers and ours side by side: agreement of the scores first, then seconds."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.clock import best
from benchmarks.peers.method import CHECKOUT, Tensors
from benchmarks.peers.worker import PEERS
from benchmarks.problem import Problem
from ood_bench.engine import fit_all, score_bank
from ood_bench.fitting import Fitted
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream
from ood_bench.waiting import SPINS

AGREES = 0.999  # Spearman correlation from which two sets of scores are taken for the same method


@dataclass(frozen=True)
class Versus:
    """One method of one peer beside ours, alone. `trouble` says why there is no number of the peer's."""

    peer: str
    method: str
    ours: str
    our_fit: float
    our_score: float
    fit: float | None = None
    score: float | None = None
    extrapolated: bool = False
    at_least: bool = False  # it was stopped at the limit: it takes longer than the seconds said
    agreement: float | None = None
    our_score_single: float | None = None  # of a scorer that computes in float64: the same in float32
    trouble: str | None = None

    @property
    def speedup(self) -> float | None:
        known = self.fit is not None and self.score is not None
        return self.peer_seconds / (self.our_fit + self.our_score) if known else None

    @property
    def counts(self) -> bool:
        """Whether it is the same method (or was stopped before it could say) and was timed."""
        return self.speedup is not None and (self.agreement is None or self.agreement >= AGREES)

    @property
    def peer_seconds(self) -> float:
        return (self.fit or 0.0) + (self.score or 0.0)


@dataclass(frozen=True)
class Whole:
    """All methods that both have: the peer's seconds added up against one run of ours."""

    peer: str
    methods: int
    seconds: float
    ours: float


def compare(
    peer: str,
    problem: Problem,
    stream: Stream,
    limit: float,
    tries: int,
    methods: Sequence[str] = (),
    python: str = sys.executable,
) -> tuple[list[Versus], Whole | None]:
    tensors = Tensors.of(problem)
    names = list(importlib.import_module(PEERS[peer]).methods(tensors))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "tensors.safetensors"
        tensors.save(data)
        for name in names:
            if not methods or name in methods:
                rows.append(_one(peer, name, data, problem, stream, limit, tries, python))
                print(f"  {peer} {name}: {rows[-1].speedup or rows[-1].trouble}", file=sys.stderr, flush=True)
    counted = [row for row in rows if row.counts]
    if not counted:
        return rows, None
    specs = [parse_spec(row.ours).resolved(problem.info) for row in counted]

    def whole() -> None:
        fits = fit_all(specs, problem.learning, problem.info, stream)
        score_bank(list(fits.fitted.values()), problem.test, problem.learning, problem.info, stream)

    seconds = sum(row.peer_seconds for row in counted)
    return rows, Whole(peer, len(counted), seconds, best(whole, tries=tries, seconds=10))


def geometric_mean(rows: Sequence[Versus], ours: Mapping[str, float] | None = None) -> float:
    """Of how many times faster ours are; `ours` gives other seconds for them, by spec."""
    counted = [row for row in rows if row.counts]
    taken = [row.our_fit + row.our_score if ours is None else ours[row.ours] for row in counted]
    return float(np.exp(np.mean([np.log(row.peer_seconds / t) for row, t in zip(counted, taken, strict=True)])))


def version_of(peer: str, python: str = sys.executable) -> str:
    """The version of a peer as that Python has it; of a checkout its commit."""
    asked = [python, "-c", f"from importlib.metadata import version; print(version({peer!r}))"]
    if peer == "openood":
        asked = ["git", "-C", os.environ[CHECKOUT], "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "(unknown version)"


def _one(
    peer: str, name: str, data: Path, problem: Problem, stream: Stream, limit: float, tries: int, python: str
) -> Versus:
    text = importlib.import_module(PEERS[peer]).methods(Tensors.load(data))[name].ours
    spec = parse_spec(text).resolved(problem.info)
    fits = fit_all([spec], problem.learning, problem.info, stream)
    fitted = list(fits.fitted.values())
    fit = best(lambda: fit_all([spec], problem.learning, problem.info, stream), tries=tries, seconds=4)

    def score() -> np.ndarray:
        scored = score_bank(fitted, problem.test, problem.learning, problem.info, stream)
        return scored.scores[spec].values

    single = None
    if spec.scorer.entry.precision == "float64":
        narrow = [_in_single(one) for one in fitted]
        single = best(
            lambda: score_bank(narrow, problem.test, problem.learning, problem.info, stream), tries=2 * tries, seconds=2
        )
    seconds, mine = best(score, tries=2 * tries), score()
    scores = data.with_name("scores.npy")
    command = [python, "-m", "benchmarks.peers.worker", peer, name, str(data), str(scores), str(limit)]
    as_found = {name: value for name, value in os.environ.items() if name != SPINS}  # ours alone asks for less waiting
    known = Versus(peer, name, text, fit, seconds, our_score_single=single)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + 60, check=True, env=as_found)
    except subprocess.TimeoutExpired:
        return Versus(
            **{**vars(known), "fit": limit, "score": 0.0, "at_least": True, "trouble": f"stopped after {limit:g} s"}
        )
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        return Versus(**{**vars(known), "trouble": reason[:200]})
    found = json.loads(done.stdout.splitlines()[-1])
    theirs = np.load(scores)
    finite = np.isfinite(theirs)
    agreement = float(spearmanr(theirs[finite], mine[: len(theirs)][finite]).statistic)
    trouble = None if agreement >= AGREES else "scores differ"
    if not finite.all():
        trouble = "; ".join(filter(None, [trouble, f"{(~finite).sum()} of its scores are not finite"]))
    return Versus(
        **{
            **vars(known),
            "fit": found["fit"],
            "score": found["score"],
            "extrapolated": found["extrapolated"],
            "agreement": agreement,
            "trouble": trouble,
        }
    )


def _in_single(one: Fitted) -> Fitted:
    """The same fitted scorer, scoring in the bank's own float32."""
    part = one.spec.scorer
    narrow = replace(part, entry=replace(part.entry, precision="float32"))
    return replace(one, spec=replace(one.spec, scorer=narrow))
