"""Identities between methods, through the engine, over many problems: two roads to one number."""

from __future__ import annotations

import numpy as np
import pytest
from direct import logits_bank, run, softmax_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from support import Problem, problem, score

from ood_bench.bank.memory import MemoryBank
from ood_bench.metrics.ood import auroc
from ood_bench.metrics.risk_coverage import augrc


@st.composite
def logits(draw: st.DrawFn, least: int = 3) -> np.ndarray:
    """Rows of logits: number of classes, size and offset all vary."""
    k = draw(st.integers(least, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size, offset = 10 ** draw(st.floats(-2, 1)), draw(st.floats(-5, 5))
    return rng.normal(offset, size, (30, k))


many = settings(max_examples=25, deadline=None, derandomize=True)


def of(spec: str, rows: np.ndarray) -> np.ndarray:
    return run(spec, logits_bank(rows))[0]


@many
@given(logits())
def test_base_logitgap_is_the_centred_maximum(rows: np.ndarray) -> None:
    k = rows.shape[1]
    base = of("logitgap:n=all", rows)
    np.testing.assert_allclose(base, k / (k - 1) * (of("maxlogit", rows) - rows.mean(axis=1)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(base, k * k / (k - 1) * of("maxlogit-pnorm:p=0.0", rows), rtol=1e-9)


@many
@given(logits())
def test_mowst_variance_is_the_sum_of_squares_and_ranks_as_doctor_alpha(rows: np.ndarray) -> None:
    k = rows.shape[1]
    squares = np.array([float(p @ p) for p in softmax_rows(rows)])
    variance = of("mowst-variance", rows)
    np.testing.assert_allclose(variance, (k * squares - 1) / (k - 1), rtol=1e-9, atol=1e-12)
    alpha = of("doctor-alpha", rows)
    np.testing.assert_allclose(variance, 1 - k / (k - 1) * alpha / (alpha - 1), rtol=1e-9, atol=1e-12)
    apart = np.diff(np.sort(variance)) > 1e-12
    if apart.all():
        np.testing.assert_array_equal(rankdata(variance), rankdata(alpha))


@many
@given(logits())
def test_the_t_statistic_is_the_two_norm(rows: np.ndarray) -> None:
    k = rows.shape[1]
    np.testing.assert_allclose(
        of("topnsigma", rows), np.sqrt(k - 1) * of("maxlogit-pnorm:p=2.0", rows), rtol=1e-9, atol=1e-12
    )


@many
@given(logits(least=2))
def test_doctor_beta_mcm_and_dcs_are_msp_by_another_name(rows: np.ndarray) -> None:
    log_p = of("msp", rows)
    np.testing.assert_allclose(-np.expm1(-log_p), of("doctor-beta", rows), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(of("mcm", rows), log_p, rtol=1e-12)
    np.testing.assert_allclose(of("odin-t:temperature=1", rows), log_p, rtol=1e-12)
    p = np.exp(log_p)
    np.testing.assert_allclose(of("dcs:idk=none", rows), p**2 - (1 - p) ** 2, rtol=1e-9, atol=1e-12)


@many
@given(logits(least=2))
def test_entropy_mowst_entropy_and_gen_agree(rows: np.ndarray) -> None:
    k = rows.shape[1]
    entropy = of("entropy", rows)
    np.testing.assert_allclose(of("mowst-entropy", rows), 1 + entropy / np.log(k), rtol=1e-9, atol=1e-12)
    p = softmax_rows(rows)
    np.testing.assert_allclose(of("gen:gamma=1", rows), -(p * (1 - p)).sum(axis=1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_vim_is_the_probability_of_the_virtual_class(seed: int) -> None:
    """Equation 8: with P the softmax probability of the virtual logit, the score is log(1 / P - 1)."""
    toy = problem(seed, k=5, d=16)
    weight, bias, fit = toy.weight, toy.bias, toy.features("fit")
    origin = -np.linalg.pinv(weight) @ bias
    _, _, directions = np.linalg.svd(fit - origin, full_matrices=True)
    outside = directions[8:]  # d // 2 principal directions are taken away
    length = np.linalg.norm((fit - origin) @ outside.T, axis=1)
    alpha = toy.logits("fit").max(axis=1).mean() / length.mean()
    virtual = alpha * np.linalg.norm((toy.features("test") - origin) @ outside.T, axis=1)
    unknown = softmax_rows(np.column_stack([toy.logits("test"), virtual]))[:, -1]
    np.testing.assert_allclose(score("vim", toy), np.log(1 / unknown - 1), rtol=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_kl_matching_is_one_product(seed: int) -> None:
    toy = problem(seed, k=6)
    fit, p = softmax_rows(toy.logits("fit")), softmax_rows(toy.logits("test"))
    typical = np.array([fit[fit.argmax(axis=1) == k].mean(axis=0) for k in range(6)])
    product = (p * np.log(p)).sum(axis=1)[:, None] - p @ np.log(typical).T
    np.testing.assert_allclose(score("klm", toy), -product.min(axis=1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("p", [1, 2, 7])
def test_the_normalised_maximum_is_constant_for_two_classes_and_so_falls_back(p: int) -> None:
    rng = np.random.default_rng(p)
    rows = rng.normal(size=(40, 2))
    centred = rows - rows.mean(axis=1, keepdims=True)
    constant = centred.max(axis=1) / np.linalg.norm(centred, ord=p, axis=1)
    np.testing.assert_allclose(constant, 2 ** (-1 / p), rtol=1e-12)
    val = logits_bank(rng.normal(size=(60, 2)), rng.integers(0, 2, 60), name="val")
    scores, learned = run("maxlogit-pnorm", logits_bank(rows), val=val)
    assert learned == {"p": "msp"}
    np.testing.assert_array_equal(scores, of("msp", rows))


def test_mutual_information_is_entropy_of_the_mean_less_the_mean_entropy() -> None:
    members = np.random.default_rng(0).normal(0, 2, (30, 4, 5))
    mean = np.stack([softmax_rows(row) for row in members]).mean(axis=1)
    bank = MemoryBank.of("test", logits=np.log(mean), members=members)
    expected = run("entropy", bank)[0] - run("expected-entropy", bank)[0]
    np.testing.assert_allclose(run("mutual-information", bank)[0], expected, rtol=1e-9, atol=1e-12)


@many
@given(st.integers(0, 2**32 - 1))
def test_augrc_is_the_failure_auroc_and_the_accuracy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = rng.normal(size=200), rng.random(200) < rng.uniform(0.2, 0.95)
    accuracy, error = right.mean(), 1 - right.mean()
    expected = (1 - auroc(confidence[right], confidence[~right])) * accuracy * error + error**2 / 2
    np.testing.assert_allclose(augrc(confidence, right), expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_gradnorm_is_a_length_times_a_distance_from_uniform(seed: int) -> None:
    """The gradient by the head's weights is the outer product of p - 1/K (times K) and the features."""
    toy: Problem = problem(seed)
    p = softmax_rows(toy.logits("test"))
    expected = [np.abs(np.outer(p.shape[1] * q - 1, h)).sum() for q, h in zip(p, toy.features("test"), strict=True)]
    np.testing.assert_allclose(score("gradnorm", toy), expected, rtol=1e-9)
