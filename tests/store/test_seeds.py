"""Means and deviations over seeds, by hand, and what becomes of a seed without a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ood_bench.errors import RequestError
from ood_bench.store.row import Row
from ood_bench.store.seeds import aggregate_seeds


def row(checkpoint: int, auroc: float, **fields: Any) -> Row:
    plain = Row(
        suite="toy",
        model="net",
        model_seed=checkpoint,
        scorer="msp",
        set="a",
        group="near",
        n_seeds=1,
        n_id=10,
        auroc=auroc,
        fpr95_id_positive=1 - auroc,
        fit_seconds=float(checkpoint),
        inputs_sha256=str(checkpoint),
        status="ok",
    )
    return replace(plain, **fields)


@pytest.mark.parametrize(("ddof", "deviation"), [(1, 0.1), (0, (2 / 3) ** 0.5 / 10)])
def test_mean_and_deviation_over_checkpoints(ddof: int, deviation: float) -> None:
    (one,) = aggregate_seeds([row(1, 0.7), row(2, 0.8), row(3, 0.9)], ddof=ddof)
    assert one.auroc == pytest.approx(0.8, abs=1e-15)
    assert one.auroc_std == pytest.approx(deviation, abs=1e-15)
    assert one.fpr95_id_positive == pytest.approx(0.2, abs=1e-15)
    assert (one.n_seeds, one.model_seed, one.n_id, one.fit_seconds, one.status) == (3, None, 10, 2.0, "ok")
    assert one.aupr_in is None


def test_the_default_is_the_sample_deviation_and_one_seed_has_none() -> None:
    rows = [row(1, 0.7), row(2, 0.9)]
    assert aggregate_seeds(rows) == aggregate_seeds(rows, ddof=1)
    assert aggregate_seeds(rows[:1]) == rows[:1]
    with pytest.raises(RequestError, match=r"ddof should be 0 .* got 2"):
        aggregate_seeds(rows, ddof=2)


def test_a_scorers_own_seeds_are_aggregated_too() -> None:
    (one,) = aggregate_seeds([row(1, 0.7, seed=0), row(1, 0.9, seed=1)])
    assert (one.seed, one.n_seeds, one.auroc) == (None, 2, 0.8)


def test_a_seed_without_a_number_leaves_none_and_is_named() -> None:
    failed = replace(row(2, 0.5), auroc=None, fpr95_id_positive=None, status="failed", reason="the score is NaN")
    (one,) = aggregate_seeds([row(1, 0.7), failed])
    assert (one.status, one.auroc, one.fpr95_id_positive, one.n_seeds) == ("failed", None, None, 2)
    assert one.reason == "checkpoint 2: the score is NaN"


def test_other_sets_scorers_and_parameters_stay_apart() -> None:
    rows = [row(1, 0.7), row(1, 0.8, set="b"), row(1, 0.9, scorer="vim"), row(1, 0.6, params='{"k":1}')]
    assert aggregate_seeds(rows) == rows
