"""Comparisons of stored scores: against SciPy-free second writings, and what cannot be compared is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_cases import bank, put, suite

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.metrics.bootstrap import bootstrap_ood
from ood_bench.metrics.intervals import auroc_paired_test
from ood_bench.metrics.ood import ood_metrics
from ood_bench.statistics.comparison import bootstrap_p_value, compare, holm
from ood_bench.statistics.contenders import Checkpoint, find_contenders
from ood_bench.store.store import Store

SIZES = {"test": 150, "a": 90, "b": 70, "c": 80}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home(tmp_path / "home"))


def fill(store: Store, scorer: str, strength: float, model: str = "net", **fields: object) -> dict[str, np.ndarray]:
    """Scores that share most of their noise between scorers, as scorers of one bank do."""
    shared, own = np.random.default_rng(len(model)), np.random.default_rng([ord(letter) for letter in scorer + model])
    scores = {}
    for name, n in SIZES.items():
        values = shared.normal(0, 1, n) + strength * (name == "test") + own.normal(0, 0.3, n)
        scores[name] = values.astype(np.float32)
        put(store, scores[name], name, scorer=scorer, model=model, bank_sha256=bank(name + model), **fields)
    return scores


def test_pairs_are_tested_on_aligned_samples(store: Store) -> None:
    one, two = fill(store, "good", 2.0), fill(store, "bad", 0.5)
    found = compare(store, suite(), find_contenders(store, suite(), ["good", "bad"]))
    by_set = {(d.group, d.set): d for d in found.differences}
    assert list(by_set) == [("near", "a"), ("near", "b"), ("near", "mean"), ("far", "c")]
    a = by_set["near", "a"]
    test = auroc_paired_test(one["test"], one["a"], two["test"], two["a"])
    assert (a.difference, a.low, a.high, a.p_value) == pytest.approx(
        (test.difference, test.low, test.high, test.p_value)
    )
    assert (a.method, a.outcome, a.n_id, a.n_ood) == ("delong-paired", "win", 150, 90)
    mean = by_set["near", "mean"]
    drawn = bootstrap_ood(
        {"first": one["test"], "second": two["test"]},
        {name: {"first": one[name], "second": two[name]} for name in ("a", "b", "c")},
    )
    interval = drawn.difference("first", "second", ["a", "b"], "auroc")
    assert (mean.low, mean.high, mean.method) == (interval.low, interval.high, "bootstrap-paired")
    assert (mean.outcome, mean.p_holm, mean.n_ood) == (None, None, 160)
    assert found.tallies == (("good", "bad", 3, 0, 0),)
    assert found.ranks.names == ("good", "bad")


def test_lower_is_better_for_fpr(store: Store) -> None:
    one, two = fill(store, "good", 3.0), fill(store, "bad", 0.2)
    contenders = find_contenders(store, suite(), ["good", "bad"])
    found = compare(store, suite(), contenders, metric="fpr95_id_positive")
    assert found.tallies == (("good", "bad", 3, 0, 0),)
    assert found.ranks.names[0] == "good"
    (c,) = [d for d in found.differences if d.set == "c"]
    values = [ood_metrics(s["test"], s["c"]).fpr95_id_positive for s in (one, two)]
    assert (c.first_value, c.second_value, c.method) == (*values, "bootstrap-paired")
    with pytest.raises(RequestError, match=r"a comparison is of one of auroc, .* got 'accuracy'"):
        compare(store, suite(), contenders, metric="accuracy")


def test_a_scorer_against_its_double_is_a_tie_and_the_worst_backbone_is_named(store: Store) -> None:
    for model, strength in (("net", 2.0), ("larger", 0.3)):
        scores = fill(store, "one", strength, model)
        for name, values in scores.items():
            put(store, 2 * values, name, scorer="twice", model=model, bank_sha256=bank(name + model))
    found = compare(store, suite(), find_contenders(store, suite(), ["one", "twice"]))
    assert found.tallies == (("one", "twice", 0, 6, 0),)
    assert all((d.difference, d.low, d.high) == (0, 0, 0) for d in found.differences)
    assert [str(worst.checkpoint) for worst in found.worst] == ["larger", "larger"]
    assert found.worst[0].value < found.worst[0].mean
    assert found.ranks.blocks == 6


def test_blocks_that_not_all_have_are_left_out_and_named(store: Store) -> None:
    fill(store, "one", 1.0)
    fill(store, "two", 1.0)
    fill(store, "two", 1.0, "other")
    found = compare(store, suite(), find_contenders(store, suite(), ["one", "two"]))
    assert {d.checkpoint for d in found.differences} == {Checkpoint("net", None)}
    assert "a, other: not every scorer has it" in found.left_out
    fill(store, "three", 1.0)
    ranked = compare(store, suite(), find_contenders(store, suite(), ["all"], ["net"]), complete=True)
    assert (ranked.ranks.names, ranked.differences) != ((), ())
    assert len(ranked.ranks.names) == 3
    with pytest.raises(RequestError, match=r"a comparison needs two scorers .* two has 6"):
        compare(store, suite(), find_contenders(store, suite(), ["all"]), complete=True)


def test_unaligned_rows_are_refused(store: Store) -> None:
    fill(store, "one", 1.0)
    for name, n in SIZES.items():
        put(store, np.random.default_rng(0).normal(size=n), name, scorer="two", bank_sha256=bank(name + "elsewhere"))
    with pytest.raises(IntegrityError, match="one and two should have scored the same rows of test on net"):
        compare(store, suite(), find_contenders(store, suite(), ["one", "two"]))


def test_names_that_mean_nothing_or_too_much(store: Store) -> None:
    fill(store, "knn", 1.0, params={"k": 1}, spec="knn:k=1")
    fill(store, "knn", 1.0, params={"k": 2}, spec="knn:k=2")
    with pytest.raises(RequestError, match=r"'knn' could be any of knn:k=1, knn:k=2; name the one"):
        find_contenders(store, suite(), ["knn"])
    with pytest.raises(RequestError, match=r"no stored scorer is named 'knm:k=1' \(did you mean 'knn:k=1'"):
        find_contenders(store, suite(), ["knm:k=1"])
    with pytest.raises(RequestError, match="no scores are stored for suite toy and larger"):
        find_contenders(store, suite(), ["knn"], ["larger"])
    (one,) = find_contenders(store, suite(), ["knn:k=1", "knn:k=1"])
    assert one.name == "knn:k=1"


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_bootstrap_p_values_by_hand() -> None:
    assert bootstrap_p_value(np.array([1.0] * 99)) == 2 * 1 / 100
    assert bootstrap_p_value(np.array([1.0, -1.0] * 50)) == 1.0
    assert bootstrap_p_value(np.zeros(10)) == 1.0
