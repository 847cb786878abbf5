"""Second writings of MaNo, per sample and of a set, and how the two belong together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support import CPU, Problem, fitted, problem, score

from ood_bench.batch import Batch
from ood_bench.conversation import Talk, converse
from ood_bench.engine import Learning
from ood_bench.scorers.mano import MaNoEstimator, Power
from ood_bench.stream import Stream

TOY = problem(2)
FLAT = Problem(
    TOY.weight * 0.05, TOY.bias, {n: (f, f @ (TOY.weight * 0.05).T + TOY.bias, y) for n, (f, _, y) in TOY.sets.items()}
)


def phi(logits: np.ndarray) -> float:
    """Equation 6: the mean over rows and classes of -log softmax."""
    return float(np.mean([[math.log(sum(math.exp(v) for v in z)) - value for value in z] for z in logits]))


def sigma(z: np.ndarray, branch: str) -> np.ndarray:
    if branch == "softmax":
        exponentials = np.array([math.exp(v - max(z)) for v in z])
        return exponentials / exponentials.sum()
    series = np.array([1 + v + v * v / 2 for v in z])
    series = series - series.min()
    return series / series.sum() if series.sum() > 0 else np.full(len(z), 1 / len(z))


def per_row(logits: np.ndarray, branch: str, p: float = 4) -> np.ndarray:
    return np.array([np.mean(sigma(z, branch) ** p) for z in logits])


def estimate(given: Problem, name: str, **options: object) -> tuple[float, dict[str, object]]:
    estimator = MaNoEstimator(**options)  # type: ignore[arg-type]  # the test's own options
    talk = Talk("mano", estimator.estimate())
    bank = given.bank(name)
    converse([talk], lambda split: Stream(CPU, 1 << 30, 7).batches(bank, given.head, 7))
    assert talk.error is None
    return talk.value


@pytest.mark.parametrize("branch", ["softmax", "taylor"])
@pytest.mark.parametrize("name", ["test", "ood"])
def test_second_writing_per_sample(branch: str, name: str) -> None:
    np.testing.assert_allclose(score(f"mano:branch={branch}", TOY, name), per_row(TOY.logits(name), branch), rtol=1e-9)
    expected = per_row(TOY.logits(name), branch, 2.5)
    np.testing.assert_allclose(score(f"mano:p=2.5,branch={branch}", TOY, name), expected, rtol=1e-9)


@pytest.mark.parametrize("given", [TOY, FLAT], ids=["confident", "flat"])
def test_the_branch_follows_phi_on_the_fit_set_and_is_recorded(given: Problem) -> None:
    learned = fitted("mano", given).learned
    assert learned["phi"] == pytest.approx(phi(given.logits("fit")), rel=1e-9)
    assert learned["branch"] == ("taylor" if phi(given.logits("fit")) <= 5 else "softmax")


def test_both_branches_are_met_by_these_problems() -> None:
    assert {fitted("mano", given).learned["branch"] for given in (TOY, FLAT)} == {"taylor", "softmax"}


@pytest.mark.parametrize("given", [TOY, FLAT], ids=["confident", "flat"])
@pytest.mark.parametrize("branch", ["softmax", "taylor"])
def test_the_set_is_the_root_of_the_mean_of_its_rows(given: Problem, branch: str) -> None:
    value, learned = estimate(given, "test", branch=branch)
    rows = score(f"mano:branch={branch}", given)
    assert value == pytest.approx(float(rows.mean()) ** 0.25, rel=1e-12)
    assert learned["branch"] == branch


@pytest.mark.parametrize("given", [TOY, FLAT], ids=["confident", "flat"])
def test_second_writing_of_a_set(given: Problem) -> None:
    value, learned = estimate(given, "ood")
    branch = "taylor" if phi(given.logits("ood")) <= 5 else "softmax"
    whole = np.array([sigma(z, branch) for z in given.logits("ood")])
    assert learned["branch"] == branch
    assert value == pytest.approx(float((whole**4).mean() ** 0.25), rel=1e-9)


def test_a_row_of_equal_logits_is_uniform() -> None:
    sets = {**TOY.sets, "test": (TOY.features("test"), np.zeros_like(TOY.logits("test")), TOY.labels("test"))}
    given = Problem(TOY.weight, TOY.bias, sets)

    rows = Power("taylor", 4.0)(Batch(logits=torch.zeros(3, 7, dtype=torch.float64)))
    np.testing.assert_allclose(rows.numpy(), (1 / 7) ** 4, rtol=1e-12)
    assert Learning(given.head).fit is None
