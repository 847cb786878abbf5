"""MDS, RMDS and their normalised forms against loops over rows and classes with an explicit pseudo-inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, fitted, problem, score

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.reductions import ClassMeans, Moments
from ood_bench.scorers.mahalanobis import background, learn


def naive(given: Problem, name: str, *, unit: bool) -> tuple[np.ndarray, np.ndarray]:
    """Smallest squared distance to a class, and squared distance from the background."""
    rows, queries, labels = given.features("fit"), given.features(name), given.labels("fit")
    if unit:
        rows = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
        queries = queries / np.sqrt((queries**2).sum(axis=1, keepdims=True))
    classes = sorted(set(labels.tolist()))
    means = {c: rows[labels == c].mean(axis=0) for c in classes}
    left = np.stack([row - means[label] for row, label in zip(rows, labels.tolist(), strict=True)])
    within = np.linalg.pinv(left.T @ left / len(rows), rcond=1e-13, hermitian=True)
    total = np.linalg.pinv(np.cov(rows.T, bias=True), rcond=1e-13, hermitian=True)
    centre = rows.mean(axis=0)
    nearest = [min((q - means[c]) @ within @ (q - means[c]) for c in classes) for q in queries]
    overall = [(q - centre) @ total @ (q - centre) for q in queries]
    return np.array(nearest), np.array(overall)


@pytest.mark.parametrize("name", ["test", "ood"])
@pytest.mark.parametrize("unit", [False, True])
def test_second_writing(name: str, unit: bool) -> None:
    given = problem()
    nearest, overall = naive(given, name, unit=unit)
    suffix = "-pp" if unit else ""
    np.testing.assert_allclose(score(f"mds{suffix}", given, name), -nearest, rtol=1e-9)
    np.testing.assert_allclose(score(f"rmds{suffix}", given, name, rows=17), overall - nearest, rtol=1e-9, atol=1e-9)


def test_aliases() -> None:
    given = problem()
    for alias, name in {
        "mahalanobis": "mds",
        "relative-mahalanobis": "rmds",
        "mds++": "mds-pp",
        "mahalanobis++": "mds-pp",
        "rmds++": "rmds-pp",
    }.items():
        assert np.array_equal(score(alias, given), score(name, given))


def test_a_large_common_offset_costs_no_digits() -> None:
    given = problem()
    moved = Problem(
        given.weight, given.bias, {key: (h + 1e6, z, y) for key, (h, z, y) in given.sets.items()}, given.extras
    )
    np.testing.assert_allclose(score("mds", moved), score("mds", given), rtol=1e-6)


def test_fewer_rows_than_features_ignores_what_lies_outside_their_span() -> None:
    given = problem(d=24, k=3, n_fit=15, n=20)
    nearest, _ = naive(given, "test", unit=False)
    np.testing.assert_allclose(score("mds", given), -nearest, rtol=1e-7)


def test_a_class_without_rows_is_left_out() -> None:
    given = problem()
    features, logits, labels = given.sets["fit"]
    kept = labels != 3
    given.sets["fit"] = (features[kept], logits[kept], labels[kept])
    nearest, _ = naive(given, "ood", unit=False)
    np.testing.assert_allclose(score("mds", given, "ood"), -nearest, rtol=1e-9)


def test_constant_features_are_refused() -> None:
    given = problem()
    features, logits, labels = given.sets["fit"]
    given.sets["fit"] = (np.ones_like(features), logits, labels)
    with pytest.raises(AssertionError, match="needs fit features that vary"):
        fitted("mds", given)


def test_unlabelled_rows_are_refused() -> None:
    given = problem()
    batch = Batch(features=torch.from_numpy(given.features("fit")), labels=torch.arange(400) % 7 - 1, n_classes=7)
    talk = learn(unit=False)
    next(talk)
    moments, means = Moments(), ClassMeans()
    answers = moments.result(moments.add(None, batch)), means.result(means.add(None, batch))
    with pytest.raises(CannotScore, match="label on every fit row, got 342 of 400"):
        talk.send(answers)


def test_the_whitening_is_made_once_for_all() -> None:
    batch = Batch(features=torch.from_numpy(problem().features("fit")), labels=torch.arange(400) % 7, n_classes=7)
    moments, means = Moments(), ClassMeans()
    answers = moments.result(moments.add(None, batch)), means.result(means.add(None, batch))

    def classes() -> object:
        talk = learn(unit=False)
        next(talk)
        with pytest.raises(StopIteration) as stop:
            talk.send(answers)
        return stop.value.value[1]

    assert classes() is classes()
    assert background(answers[0], unit=False) is background(answers[0], unit=False)
