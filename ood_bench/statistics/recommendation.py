"""Which scorer for this backbone: the best by stored results, with those that cannot be told from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ood_bench.errors import RequestError
from ood_bench.metrics.bootstrap import bootstrap_ood
from ood_bench.metrics.intervals import Interval
from ood_bench.metrics.ood import SortedScores, auroc
from ood_bench.statistics.comparison import bootstrap_p_value
from ood_bench.statistics.contenders import Checkpoint, Contender, find_contenders
from ood_bench.statistics.families import family_of
from ood_bench.store.store import Store
from ood_bench.suites import Suite

RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """One scorer: the mean AUROC over all OOD sets of the checkpoints looked at, and how sure that is."""

    scorer: str
    auroc: float
    low: float
    high: float
    worst_set: str
    worst_auroc: float
    p_value: float | None  # that it is as good as the first, paired; None for the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The best first. `basis`: the backbone's own results, or those of others of its family, or of all backbones."""

    suite: str
    model: str
    basis: Literal["own", "family", "all"]
    checkpoints: tuple[str, ...]
    sets: tuple[str, ...]
    n_id: int
    n_ood: int
    level: float
    scorers: tuple[Recommended, ...]

    @property
    def as_good(self) -> tuple[str, ...]:
        """Scorers that no test tells from the first."""
        return tuple(one.scorer for one in self.scorers if one.p_value is not None and one.p_value >= 1 - self.level)


def recommend(
    store: Store, suite: Suite, model: str, *, top: int = 5, level: float = 0.95, seed: int = 0
) -> Recommendation:
    """Rank the stored scorers for a backbone by mean AUROC over every OOD set, and test each against the first.

    A backbone without results is judged by those of its family, else by all that there are. Only scorers with scores on
    every set of every checkpoint looked at are ranked. Methods of plug-ins and of others are ranked like ours.
    """
    contenders = find_contenders(store, suite, ["all"])
    basis, places = _basis(contenders, model)
    sets = tuple(name for names in suite.groups.values() for name in names)
    sets = tuple(name for name in sets if any(name in one.sets(suite, place) for one in contenders for place in places))
    complete = [one for one in contenders if all(name in one.sets(suite, place) for place in places for name in sets)]
    if not complete or not sets:
        raise RequestError(
            f"a recommendation needs a scorer with scores on every set of {suite.name} for {', '.join(map(str, places))}; "
            "run the suite with all scorers: ood-bench run"
        )
    values = {one.name: _aurocs(store, suite, one, places, sets) for one in complete}
    ranked = sorted(complete, key=lambda one: (-float(values[one.name].mean()), one.name))[:top]
    drawn = _resampled(store, suite, ranked, places, sets, seed)
    found = []
    for one in ranked:
        of_sets = values[one.name].mean(axis=0)
        difference = drawn[one.name] - drawn[ranked[0].name]
        interval = _interval(drawn[one.name], level)
        found.append(
            Recommended(
                scorer=one.name,
                auroc=float(values[one.name].mean()),
                low=interval.low,
                high=interval.high,
                worst_set=sets[int(of_sets.argmin())],
                worst_auroc=float(of_sets.min()),
                p_value=None if one is ranked[0] else bootstrap_p_value(difference),
            )
        )
    first = complete[0].records
    return Recommendation(
        suite=suite.name,
        model=model,
        basis=basis,
        checkpoints=tuple(map(str, places)),
        sets=sets,
        n_id=sum(first[place][str(suite.test)].n for place in places),
        n_ood=sum(first[place][name].n for place in places for name in sets),
        level=level,
        scorers=tuple(found),
    )


def _basis(contenders: Sequence[Contender], model: str) -> tuple[Literal["own", "family", "all"], list[Checkpoint]]:
    places = list(dict.fromkeys(place for one in contenders for place in one.records))
    own = [place for place in places if place.model == model]
    family = [place for place in places if family_of(place.model) == family_of(model)]
    return ("own", own) if own else ("family", family) if family else ("all", places)


def _aurocs(
    store: Store, suite: Suite, one: Contender, places: Sequence[Checkpoint], sets: Sequence[str]
) -> np.ndarray:
    rows = []
    for place in places:
        inside = SortedScores(store.scores(one.records[place][str(suite.test)]), one.name)
        rows.append([auroc(inside, store.scores(one.records[place][name])) for name in sets])
    return np.array(rows)


def _resampled(
    store: Store,
    suite: Suite,
    ranked: Sequence[Contender],
    places: Sequence[Checkpoint],
    sets: Sequence[str],
    seed: int,
) -> dict[str, np.ndarray]:
    """The mean AUROC over sets and checkpoints in each resample; checkpoints of one suite share their samples."""
    total = {one.name: np.zeros(RESAMPLES) for one in ranked}
    for place in places:
        found = bootstrap_ood(
            {one.name: store.scores(one.records[place][str(suite.test)]) for one in ranked},
            {name: {one.name: store.scores(one.records[place][name]) for one in ranked} for name in sets},
            resamples=RESAMPLES,
            seed=seed,
        )
        for one in ranked:
            total[one.name] += found.of(one.name, sets, "auroc") / len(places)
    return total


def _interval(drawn: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "bootstrap-percentile")
