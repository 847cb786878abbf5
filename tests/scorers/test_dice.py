from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import Problem, fitted, problem, score

from ood_bench.scorers.dice import DICE
from ood_bench.types import Info


def sparse(given: Problem, p: float, source: str = "fit") -> np.ndarray:
    """The head with every weight whose contribution is at or below the percentile set to zero, entry by entry."""
    mean = given.features(source).mean(axis=0)
    contribution = np.array([[mean[j] * given.weight[c, j] for j in range(len(mean))] for c in range(len(given.bias))])
    threshold = np.percentile(contribution, p)
    kept = given.weight.copy()
    kept[contribution <= threshold] = 0.0
    return kept


@pytest.mark.parametrize(("spec", "p"), [("dice", 90), ("dice:p=50", 50), ("dice:p=0", 0), ("dice:p=87.3", 87.3)])
@pytest.mark.parametrize("relu", [True, False])
def test_energy_of_the_sparse_head(spec: str, p: float, relu: bool) -> None:
    given = problem(7, relu=relu)
    logits = given.features("ood") @ sparse(given, p).T + given.bias
    np.testing.assert_allclose(score(spec, given, "ood", rows=9), np.log(np.exp(logits).sum(axis=1)), rtol=1e-9)


def test_dead_units_are_masked_at_the_threshold() -> None:
    given = problem(8)
    sets = {name: (rows.copy(), logits, labels) for name, (rows, logits, labels) in given.sets.items()}
    for rows, _, _ in sets.values():
        rows[:, :12] = 0.0  # most contributions are exactly zero, and so is the median
    given = replace(given, sets={name: (r, r @ given.weight.T + given.bias, y) for name, (r, _, y) in sets.items()})
    logits = given.features("test") @ sparse(given, 50).T + given.bias
    np.testing.assert_allclose(score("dice:p=50", given), np.log(np.exp(logits).sum(axis=1)), rtol=1e-9)


def test_a_scorer_behind_sees_the_sparse_head() -> None:
    """fDBD reads the head itself, in its fit and when it scores."""
    given = problem(9)
    weight = sparse(given, 60)
    other = replace(
        given, weight=weight, sets={k: (x, x @ weight.T + given.bias, y) for k, (x, _, y) in given.sets.items()}
    )
    np.testing.assert_allclose(score("dice:p=60+fdbd", given), score("fdbd", other), rtol=1e-12)


@pytest.mark.parametrize(("k", "p"), [(10, 90.0), (999, 90.0), (1000, 70.0)])
def test_default_percentile(k: int, p: float) -> None:
    assert DICE().resolve(Info(n_classes=k, n_features=5)).p == p


def test_the_mask_share_is_kept_on_record() -> None:
    given = problem(7)
    kept = fitted("dice", given).view.rectifiers[0].learned()["kept"]
    assert kept == pytest.approx((sparse(given, 90) != 0).mean())
