"""Intervals of rows: which method where, one draw of ID weights for all sets, kept and made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from store_cases import put, suite

from ood_bench.errors import IntegrityError
from ood_bench.home import Home
from ood_bench.metrics.bootstrap import bootstrap_ood
from ood_bench.metrics.intervals import auroc_interval, disjoint_pairs
from ood_bench.store.row import METRICS, Row
from ood_bench.store.rows import rows_of
from ood_bench.store.seeds import aggregate_seeds
from ood_bench.store.store import Store
from ood_bench.store.uncertainty import with_intervals

SIZES = {"test": 120, "a": 80, "b": 60, "c": 90}
SHIFTS = {"test": 1.0, "a": 0.3, "b": 0.0, "c": -9.0}  # c is separated perfectly


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home(tmp_path / "home"))


def fill(store: Store, scorer: str = "msp", seed: int = 0, **fields: object) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    scores = {name: draw.normal(SHIFTS[name], 1, n).astype(np.float32) for name, n in SIZES.items()}
    for name, values in scores.items():
        put(store, values, name, scorer=scorer, **fields)
    return scores


def by_set(rows: list[Row], scorer: str = "msp") -> dict[str, Row]:
    return {f"{row.group} {row.set}": row for row in rows if row.scorer == scorer}


def files(store: Store) -> Iterator[Path]:
    return (store.home.root / "derived").rglob("*.json")


def test_a_set_has_delongs_interval_and_a_mean_the_bootstraps(store: Store) -> None:
    scores = fill(store)
    rows = by_set(rows_of(store, suite(), intervals=True))
    a, near = rows["near a"], rows["near mean"]
    assert a.interval("auroc") == auroc_interval(scores["test"], scores["a"])
    assert (a.auroc_lo, a.auroc_hi) == (a.interval("auroc").low, a.interval("auroc").high)  # type: ignore[union-attr]
    drawn = bootstrap_ood({"0": scores["test"]}, {name: {"0": scores[name]} for name in ("a", "b", "c")})
    for metric in METRICS:
        assert near.interval(metric) == drawn.interval("0", ["a", "b"], metric)
    assert a.interval("fpr95_id_positive") == drawn.interval("0", ["a"], "fpr95_id_positive")
    assert near.auroc_lo < near.auroc < near.auroc_hi  # type: ignore[operator]
    assert rows_of(store, suite())[0].intervals == ()


def test_perfect_separation_is_said_so_and_has_no_interval_of_the_aupr(store: Store) -> None:
    fill(store)
    for name in ("far c", "far mean"):  # a group of one set is its own mean
        row = by_set(rows_of(store, suite(), intervals=True))[name]
        assert row.auroc == 1.0
        assert row.interval("auroc") == disjoint_pairs(1.0, 90, 0.95)
        assert row.interval("fpr95_ood_positive") == disjoint_pairs(0.0, 90, 0.95)
        assert row.interval("aupr_in") is None


def test_intervals_do_not_depend_on_what_else_is_in_the_store(store: Store) -> None:
    fill(store)
    alone = by_set(rows_of(store, suite(), intervals=True))
    for path in files(store):
        path.unlink()
    for number in range(20):  # more than are resampled together
        fill(store, f"s{number}", seed=number + 1)
    assert by_set(rows_of(store, suite(), intervals=True)) == alone


def test_intervals_are_kept_by_scores_seed_and_resamples_and_a_damaged_file_is_made_again(store: Store) -> None:
    fill(store)
    rows = rows_of(store, suite())
    first = with_intervals(store, rows, resamples=50)
    (path,) = files(store)
    kept = path.read_bytes()
    path.write_text(path.read_text().replace('"low": 0.', '"low": 0.0'))
    assert with_intervals(store, rows, resamples=50) != first  # what is kept is used,
    assert with_intervals(store, rows, resamples=50, anew=True) == first  # until it is made anew
    assert path.read_bytes() == kept
    for damage in ("{", "[]", '{"rows": [[]]}', '{"rows": [{"auroc": {"lo": 1}}]}'):
        path.write_text(damage)
        assert with_intervals(store, rows, resamples=50) == first
    with_intervals(store, rows, resamples=50, seed=1)
    with_intervals(store, rows, resamples=51)
    assert len(list(files(store))) == 3


def test_a_home_that_cannot_be_written_still_answers(store: Store) -> None:
    fill(store)
    (store.home.root / "derived").write_text("a file where the folder should be")
    assert by_set(rows_of(store, suite(), intervals=True))["near a"].auroc_lo is not None


def test_rows_without_numbers_or_with_one_score_have_none(store: Store) -> None:
    for name, values in {"test": [1.0, 2.0], "a": [0.5], "b": [0.1, 0.2]}.items():
        put(store, values, name)
    rows = by_set(rows_of(store, suite(), intervals=True))
    assert (rows["near a"].status, rows["near a"].auroc_lo) == ("ok", None)
    assert rows["near b"].auroc_lo is not None
    assert (rows["far c"].status, rows["far c"].intervals) == ("skipped", ())


def test_scores_that_went_away_are_named(store: Store) -> None:
    fill(store)
    rows = rows_of(store, suite())
    for path in store.home.records.rglob("*.json"):
        path.unlink()
    with pytest.raises(IntegrityError, match=r"scores of set test should be those of record .* has none"):
        with_intervals(store, rows)


def test_seeds_drop_the_intervals_of_single_checkpoints(store: Store) -> None:
    for seed in (0, 1):
        fill(store, seed=seed, model_seed=seed, head_sha256=str(seed) * 64)
    (row, *_) = aggregate_seeds(rows_of(store, suite(), intervals=True))
    assert (row.n_seeds, row.intervals, row.auroc_lo) == (2, (), None)
    assert row.auroc_std is not None
