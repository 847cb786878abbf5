"""One Gaussian per class against SciPy's density; the class-wise reduction; the memory bound."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from support import Problem, fitted, problem, score

from ood_bench.batch import Batch
from ood_bench.columns import labels
from ood_bench.errors import CannotScore
from ood_bench.scorers.gmm import GMM, Gaussians, GroupMoments
from ood_bench.types import Info


def naive(given: Problem, name: str, jitter: float, mixture: bool = False) -> np.ndarray:
    rows, y = given.features("fit"), given.labels("fit")
    classes, d = np.unique(y), given.features("fit").shape[1]
    scatter = {c: np.cov(rows[y == c].T, bias=True) * (y == c).sum() for c in classes}
    pooled = sum(scatter.values()) / len(rows)
    scores = []
    for c in classes:
        n_c = int((y == c).sum())
        missing = max(0, d + 1 - n_c)
        covariance = (scatter[c] + missing * pooled) / (n_c + missing) + jitter * np.trace(pooled) / d * np.eye(d)
        density = multivariate_normal(rows[y == c].mean(axis=0), covariance).logpdf(given.features(name))
        scores.append(density + np.log(n_c / len(rows)) if mixture else density)
    return np.asarray(np.logaddexp.reduce(scores) if mixture else np.max(scores, axis=0))


@pytest.mark.parametrize(("spec", "jitter"), [("gmm", 1e-6), ("gmm:jitter=0.01", 0.01), ("gmm:jitter=0", 0.0)])
def test_second_writing(spec: str, jitter: float) -> None:
    given = problem(relu=False)  # otherwise a unit may be dead within a class, and its covariance singular
    for name in ("test", "ood"):
        np.testing.assert_allclose(score(spec, given, name, rows=31), naive(given, name, jitter), rtol=1e-9)
    assert fitted(spec, given).learned == {"classes_filled_up": 0}


@pytest.mark.parametrize("k", [7, 400])
def test_mixture(k: int) -> None:
    given = problem(d=12, k=k, n_fit=2000)
    expected = naive(given, "ood", 1e-6, mixture=True)
    np.testing.assert_allclose(score("gmm:density=mixture", given, "ood", rows=31), expected, rtol=1e-9)


def test_a_class_of_few_rows_is_filled_up_with_the_pooled_covariance() -> None:
    given = problem(d=40, n_fit=200)
    np.testing.assert_allclose(score("gmm", given), naive(given, "test", 1e-6), rtol=1e-9)
    assert fitted("gmm", given).learned["classes_filled_up"] == 7


def test_many_classes_are_taken_a_few_at_a_time() -> None:
    given = problem(d=12, k=400, n_fit=2000)
    np.testing.assert_allclose(score("gmm", given, rows=50), naive(given, "test", 1e-6), rtol=1e-9)


def test_memory_beyond_the_bound_is_refused() -> None:
    with pytest.raises(CannotScore, match=r"gmm keeps 1000 covariances of 2048 x 2048, 31.2 GiB; its bound is 1 GiB"):
        GMM().resolve(Info(1000, 2048))


def test_singular_covariances_without_jitter_are_refused() -> None:
    given = problem()
    for features, _, _ in given.sets.values():
        features[:, 5] = 0.0
    with pytest.raises(AssertionError, match="ask for a jitter above 0"):
        fitted("gmm:jitter=0", given)
    assert np.isfinite(score("gmm", given)).all()


def test_gaussians_leave_the_moments_as_they_are() -> None:
    given = problem(n_fit=90)
    rows, y = torch.from_numpy(given.features("fit")), torch.from_numpy(given.labels("fit"))
    question = GroupMoments(labels, 7)
    moments = question.result(question.add(None, Batch(features=rows, labels=y, n_classes=7)))
    first, again = (Gaussians.of(moments, 1e-6, "gmm") for _ in range(2))  # several jitters share one reduction
    assert torch.equal(first.whiteners, again.whiteners)


def test_group_moments_do_not_depend_on_the_split() -> None:
    given = problem(n_fit=90)
    rows, y = torch.from_numpy(given.features("fit") + 1e6), torch.from_numpy(given.labels("fit"))
    question = GroupMoments(labels, 7)

    def partial(*bounds: int) -> Any:
        total = None
        for a, b in pairwise(bounds):
            total = question.add(total, Batch(features=rows[a:b], labels=y[a:b], n_classes=7, start=a))
        return total

    whole = question.result(partial(0, 90))
    split = question.result(question.merge(partial(0, 20, 33), question.merge(partial(33, 34), partial(34, 90))))
    assert torch.equal(whole.counts, split.counts)
    assert torch.allclose(whole.means, split.means, rtol=1e-12)
    for c in range(7):
        expected = np.cov(given.features("fit")[given.labels("fit") == c].T, bias=True) * int(whole.counts[c])
        for result in (whole, split):
            np.testing.assert_allclose(result.scatters[c].numpy(), expected, rtol=1e-6, atol=1e-6)
