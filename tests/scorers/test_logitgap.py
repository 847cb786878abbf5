"""Second writings of logitgap and logitgap-adaptive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import Problem, fitted, problem, score

from ood_bench.batch import Batch
from ood_bench.reductions import Sample
from ood_bench.scorers.logitgap import LogitGapAdaptive, fixed_n

TOY = problem(5)


def gap(logits: np.ndarray, n: int) -> np.ndarray:
    """Equation 8: the largest logit minus the mean of the N - 1 that follow it."""
    expected = []
    for z in logits:
        falling = sorted(z, reverse=True)
        expected.append(sum(falling[0] - other for other in falling[1:n]) / (n - 1))
    return np.array(expected)


@pytest.mark.parametrize("n", [2, 3, 6, 7])
@pytest.mark.parametrize("name", ["test", "ood"])
def test_second_writing(n: int, name: str) -> None:
    np.testing.assert_allclose(score(f"logitgap:n={n}", TOY, name), gap(TOY.logits(name), n), rtol=1e-9)


def test_all_classes_and_the_fixed_rule() -> None:
    np.testing.assert_allclose(score("logitgap:n=all", TOY), gap(TOY.logits("test"), 7), rtol=1e-9)
    np.testing.assert_allclose(score("logitgap", TOY), gap(TOY.logits("test"), 3), rtol=1e-9)
    # Table 8 of the paper: 200 of 1000, 20 of 100, 10 of 20, 5 of 10
    assert [fixed_n(k) for k in (1000, 100, 20, 10, 3, 2)] == [200, 20, 10, 5, 2, 2]


def test_a_constant_per_row_changes_nothing() -> None:
    sets = {name: (f, z + 100.0, y) for name, (f, z, y) in TOY.sets.items()}
    shifted = Problem(TOY.weight, TOY.bias + 100.0, sets)
    np.testing.assert_allclose(score("logitgap", shifted), score("logitgap", TOY), rtol=1e-9)


def test_n_beyond_the_classes_is_refused() -> None:
    with pytest.raises(Exception, match=r"logitgap needs 2 <= n <= 7 \(the number of classes\), got n=8"):
        fitted("logitgap:n=8", TOY)


def test_the_adaptive_n_maximises_the_criterion_on_its_own_sample() -> None:
    """The choice is redone from the rows and outliers that the scorer drew: argmax over N by a plain double loop."""
    question = Sample(40, 3, split="val")
    rows = question.result(question.add(None, Batch(features=torch.from_numpy(TOY.features("val")))))
    scorer = LogitGapAdaptive(samples=40, seed=3)
    outliers = scorer._outliers(rows, TOY.head, 0.0)
    id_logits, ood_logits = (x.numpy() @ TOY.weight.T + TOY.bias for x in (rows, outliers))
    best = max(
        range(2, 8),
        key=lambda n: gap(id_logits, n).mean() - gap(ood_logits, n).mean(),
    )
    learned = fitted("logitgap-adaptive:samples=40,seed=3", TOY).learned
    assert learned == {"n": best, "beta": 0.0}
    np.testing.assert_allclose(
        score("logitgap-adaptive:samples=40,seed=3", TOY), gap(TOY.logits("test"), best), rtol=1e-9
    )


def test_outliers_mix_rows_of_different_predicted_classes() -> None:
    rows = torch.from_numpy(TOY.features("val")[:50])
    half = LogitGapAdaptive(alpha=0.5)._outliers(rows, TOY.head, 0.0)
    partner = 2 * half - rows
    predicted = (rows @ TOY.head.weight.T + TOY.head.bias).argmax(dim=1)
    for row, other in enumerate(partner):
        which = int((rows - other).square().sum(dim=1).argmin())
        assert float((rows[which] - other).abs().max()) < 1e-9
        assert predicted[which] != predicted[row]


def test_beta_is_added_only_to_normalised_features() -> None:
    unit = {
        name: (f / np.linalg.norm(f, axis=1, keepdims=True), z, y)
        for name, (f, z, y) in problem(5, relu=False).sets.items()
    }
    sets = {name: (f, f @ TOY.weight.T + TOY.bias, y) for name, (f, _, y) in unit.items()}
    assert fitted("logitgap-adaptive", replace(TOY, sets=sets)).learned["beta"] == 0.8
    assert fitted("logitgap-adaptive", TOY).learned["beta"] == 0.0
