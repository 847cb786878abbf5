"""Second writings of the label-free dcs in its three forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import CPU, fitted, problem, score

from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning, fit_all, score_bank
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream

TOY = problem(4)


def softmax(z: np.ndarray) -> np.ndarray:
    exponentials = np.array([math.exp(v - max(z)) for v in z])
    return exponentials / exponentials.sum()


def naive(answers: np.ndarray, p_idk: float, loadings: tuple[float, float]) -> float:
    p_c = max(answers)
    p_w = 1 - p_c - p_idk
    return (loadings[0] * p_c - loadings[1] * p_w) * (1 - p_idk)


@pytest.mark.parametrize("loadings", [(1.0, 1.0), (2.0, 0.5), (1.0, 0.0)])
@pytest.mark.parametrize("name", ["test", "ood"])
def test_without_an_abstain_option(loadings: tuple[float, float], name: str) -> None:
    spec = f"dcs:idk=none,loading_correct={loadings[0]},loading_wrong={loadings[1]}"
    expected = [naive(softmax(z), 0.0, loadings) for z in TOY.logits(name)]
    np.testing.assert_allclose(score(spec, TOY, name), expected, rtol=1e-9, atol=1e-12)


def test_without_an_abstain_option_it_ranks_as_msp() -> None:
    assert (score("dcs:idk=none", TOY).argsort() == score("msp", TOY).argsort()).all()


@pytest.mark.parametrize("name", ["test", "ood"])
def test_with_vims_virtual_logit(name: str) -> None:
    virtual = np.log(np.exp(TOY.logits(name)).sum(axis=1)) - score("vim", TOY, name)
    expected = []
    for z, extra in zip(TOY.logits(name), virtual, strict=True):
        p = softmax(np.append(z, extra))
        expected.append(naive(p[:-1], p[-1], (1.0, 1.0)))
    np.testing.assert_allclose(score("dcs:idk=vim", TOY, name), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(score("dcs", TOY, name), score("dcs:idk=vim", TOY, name))  # what auto takes here


def test_with_the_banks_own_column() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (40, 5))
    bank = MemoryBank.of("questions", logits=torch.from_numpy(logits), abstain_index=2)
    learning = Learning()
    info = describe(learning, [bank])
    spec = parse_spec("dcs").resolved(info)
    assert spec.params["idk"] == "column"  # resolved, and so part of the key
    fits = fit_all([spec], learning, info, Stream(CPU, 1 << 30))
    done = score_bank([fits.fitted[spec]], bank, learning, info, Stream(CPU, 1 << 30))
    expected = []
    for z in logits:
        p = softmax(z)
        expected.append(naive(np.delete(p, 2), p[2], (1.0, 1.0)))
    np.testing.assert_allclose(done.scores[spec].values, expected, rtol=1e-9, atol=1e-12)


def test_not_monotone_in_abstention_where_the_top_answer_is_in_the_minority() -> None:
    """p_c = 0.3 against p_w = 0.7: shifting all mass by the same factor towards abstaining raises the score."""
    few, much = (naive(np.array([0.3, 0.25, 0.25, 0.2]) * (1 - idk), idk, (1.0, 1.0)) for idk in (0.0, 0.5))
    assert much > few


def test_saturated_logits_stay_finite() -> None:
    sets = {name: (f, 1e4 * np.sign(z), y) for name, (f, z, y) in TOY.sets.items()}

    assert np.isfinite(score("dcs:idk=none", replace(TOY, sets=sets))).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dcs:idk=column", "needs a bank with an abstain column"),
        ("dcs:loading_correct=0.5", "loading_correct should be at least loading_wrong"),
    ],
)
def test_refusals(spec: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        fitted(spec, TOY)
