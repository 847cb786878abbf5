"""Scorers against each other on the same samples: paired tests, wins and losses, ranks, and each one's worst backbone.

Samples are aligned because both scorers scored one bank. The difference in AUROC on one set is tested after DeLong;
other metrics, and means over groups, by a bootstrap whose resamples are the same for both. A difference counts as a win
or a loss where its p-value, corrected after Holm for all sets and checkpoints of the pair, is below 1 - level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from ood_bench.errors import RequestError
from ood_bench.metrics.bootstrap import bootstrap_ood
from ood_bench.metrics.intervals import auroc_paired_test
from ood_bench.metrics.ood import OodMetrics, SortedScores, ood_metrics
from ood_bench.statistics.contenders import Checkpoint, Contender, aligned
from ood_bench.statistics.ranks import Ranks, average_ranks
from ood_bench.store.row import MEAN, METRICS
from ood_bench.store.store import Store
from ood_bench.suites import Suite

Outcome = Literal["win", "tie", "loss"]
LOWER_IS_BETTER = frozenset({"fpr95_id_positive", "fpr95_ood_positive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two scorers on one set (or the mean over a group) of one checkpoint."""

    first: str
    second: str
    checkpoint: Checkpoint
    group: str
    set: str
    n_id: int
    n_ood: int
    first_value: float
    second_value: float
    difference: float  # first minus second
    low: float
    high: float
    p_value: float | None  # two-sided; None where nothing varies and yet the values differ
    p_holm: float | None = None  # of single sets; means are not counted
    method: Literal["delong-paired", "bootstrap-paired"]
    outcome: Outcome | None = None  # for the first; None for means


@dataclass(frozen=True, slots=True)
class Worst:
    """The checkpoint on which a scorer does worst, by the mean over all sets."""

    name: str
    mean: float  # over checkpoints and sets
    checkpoint: Checkpoint
    value: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a comparison found, and what could not be compared."""

    suite: str
    metric: str
    level: float
    differences: tuple[Difference, ...]
    tallies: tuple[tuple[str, str, int, int, int], ...]  # first, second, wins, ties, losses over sets and checkpoints
    ranks: Ranks
    worst: tuple[Worst, ...]
    left_out: tuple[str, ...]


def compare(
    store: Store,
    suite: Suite,
    contenders: Sequence[Contender],
    *,
    metric: str = "auroc",
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    complete: bool = False,
) -> Comparison:
    """The first contender against each other one, and the ranks of all.

    Blocks (a set on a checkpoint) count where every contender has scores; with `complete` it is the contenders that
    lack a block which are left out instead.
    """
    if metric not in METRICS:
        raise RequestError(f"a comparison is of one of {', '.join(METRICS)}, got {metric!r}")
    held = {one.name: _blocks(suite, one) for one in contenders}
    union = list(dict.fromkeys(block for blocks in held.values() for block in blocks))
    left_out = []
    if complete:
        lacking = [one for one in contenders if set(held[one.name]) != set(union)]
        left_out = [f"{one.name}: no scores on {_listing(union, held[one.name])}" for one in lacking]
        contenders = [one for one in contenders if one not in lacking]
    common = [block for block in union if all(block in held[one.name] for one in contenders)]
    if len(contenders) < 2 or not common:
        counts = "; ".join(f"{one.name} has {len(held[one.name])}" for one in contenders)
        raise RequestError(
            f"a comparison needs two scorers with scores on the same checkpoint and sets of {suite.name}, got {counts}"
        )
    left_out += [f"{name}, {place}: not every scorer has it" for place, name in union if (place, name) not in common]
    values = _values(store, suite, contenders, common, metric)
    lower = metric in LOWER_IS_BETTER
    differences: list[Difference] = []
    if not complete:
        for other in contenders[1:]:
            found = _pair(store, suite, contenders[0], other, common, metric, level, resamples, seed)
            differences += _judged(found, level, lower)
    return Comparison(
        suite=suite.name,
        metric=metric,
        level=level,
        differences=tuple(differences),
        tallies=tuple(_tally(contenders[0].name, other.name, differences) for other in contenders[1:])
        if differences
        else (),
        ranks=average_ranks([one.name for one in contenders], values, higher_is_better=not lower, level=level),
        worst=tuple(_worst(one.name, values[:, i], common, lower) for i, one in enumerate(contenders)),
        left_out=tuple(left_out),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, running = [0.0] * len(p_values), 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - step) * p_values[index]))
        corrected[index] = running
    return corrected


def bootstrap_p_value(differences: Float[np.ndarray, " resamples"]) -> float:
    """Two-sided: twice the share of resamples on the far side of zero, each side counting one more."""
    sides = [int((differences <= 0).sum()), int((differences >= 0).sum())]
    return min(1.0, 2 * (min(sides) + 1) / (len(differences) + 1))


Block = tuple[Checkpoint, str]


def _blocks(suite: Suite, contender: Contender) -> list[Block]:
    return [(place, name) for place in contender.records for name in contender.sets(suite, place)]


def _listing(union: Sequence[Block], held: Sequence[Block]) -> str:
    missing = [f"{name} ({place})" for place, name in union if (place, name) not in held]
    return ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")


def _values(
    store: Store, suite: Suite, contenders: Sequence[Contender], blocks: Sequence[Block], metric: str
) -> Float[np.ndarray, "blocks scorers"]:
    values = np.empty((len(blocks), len(contenders)))
    for column, one in enumerate(contenders):
        inside: dict[Checkpoint, SortedScores] = {}
        for row, (place, name) in enumerate(blocks):
            if place not in inside:
                inside[place] = SortedScores(store.scores(one.records[place][str(suite.test)]), one.name)
            found: OodMetrics = ood_metrics(inside[place], store.scores(one.records[place][name]))
            values[row, column] = getattr(found, metric)
    return values


def _pair(
    store: Store,
    suite: Suite,
    first: Contender,
    second: Contender,
    blocks: Sequence[Block],
    metric: str,
    level: float,
    resamples: int,
    seed: int,
) -> list[Difference]:
    found: list[Difference] = []
    for place in dict.fromkeys(place for place, _ in blocks):
        names = [name for at, name in blocks if at == place]
        inside = aligned(store, first, second, place, str(suite.test))
        outside = {name: aligned(store, first, second, place, name) for name in names}
        resampled = bootstrap_ood(
            {"first": inside[0], "second": inside[1]},
            {name: {"first": pair[0], "second": pair[1]} for name, pair in outside.items()},
            resamples=resamples,
            seed=seed,
        )
        of_set = {name: [getattr(ood_metrics(inside[i], outside[name][i]), metric) for i in range(2)] for name in names}
        for group, members in suite.groups.items():
            present = [name for name in members if name in names]
            means = [(MEAN, present)] if present and len(present) == len(members) > 1 else []
            for label, sets in [*((name, [name]) for name in present), *means]:
                values = np.mean([of_set[name] for name in sets], axis=0)
                interval = resampled.difference("first", "second", sets, metric, level=level)
                drawn = resampled.of("first", sets, metric) - resampled.of("second", sets, metric)
                made = Difference(
                    first=first.name,
                    second=second.name,
                    checkpoint=place,
                    group=group,
                    set=label,
                    n_id=len(inside[0]),
                    n_ood=sum(len(outside[name][0]) for name in sets),
                    first_value=float(values[0]),
                    second_value=float(values[1]),
                    difference=float(values[0] - values[1]),
                    low=interval.low,
                    high=interval.high,
                    p_value=bootstrap_p_value(drawn),
                    method="bootstrap-paired",
                )
                if metric == "auroc" and label != MEAN and min(made.n_id, made.n_ood) > 1:
                    test = auroc_paired_test(inside[0], outside[label][0], inside[1], outside[label][1], level=level)
                    made = replace(made, low=test.low, high=test.high, p_value=test.p_value, method="delong-paired")
                found.append(made)
    return found


def _judged(found: Sequence[Difference], level: float, lower_is_better: bool) -> list[Difference]:
    single = [one for one in found if one.set != MEAN]
    # without any variance a difference is as certain as these samples can make it
    corrected = holm([0.0 if one.p_value is None else one.p_value for one in single])
    judged = {id(one): p for one, p in zip(single, corrected, strict=True)}
    out: list[Difference] = []
    for one in found:
        if id(one) not in judged:
            out.append(one)
            continue
        p = judged[id(one)]
        better = (one.difference < 0) if lower_is_better else (one.difference > 0)
        outcome: Outcome = "tie" if p >= 1 - level or one.difference == 0 else "win" if better else "loss"
        out.append(replace(one, p_holm=p, outcome=outcome))
    return out


def _tally(first: str, second: str, differences: Sequence[Difference]) -> tuple[str, str, int, int, int]:
    outcomes = [one.outcome for one in differences if one.second == second]
    return first, second, outcomes.count("win"), outcomes.count("tie"), outcomes.count("loss")


def _worst(name: str, values: Float[np.ndarray, " blocks"], blocks: Sequence[Block], lower_is_better: bool) -> Worst:
    places = list(dict.fromkeys(place for place, _ in blocks))
    means = [float(np.mean([v for v, (at, _) in zip(values, blocks, strict=True) if at == place])) for place in places]
    index = int(np.argmax(means) if lower_is_better else np.argmin(means))
    return Worst(name, float(np.mean(means)), places[index], means[index])
