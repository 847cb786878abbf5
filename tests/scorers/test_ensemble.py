"""Ensemble scores against their definitions, member by member."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from direct import run, softmax_rows

from ood_bench.bank.memory import MemoryBank
from ood_bench.errors import CannotScore

NAMES = ("mutual-information", "expected-entropy", "ensemble-variance")


def bank(members: np.ndarray, dtype: torch.dtype = torch.float64) -> MemoryBank:
    values = torch.from_numpy(np.asarray(members, dtype=np.float64)).to(dtype)
    return MemoryBank.of("test", logits=values.mean(dim=1), members=values)


def entropy(p: np.ndarray) -> float:
    return -math.fsum(q * math.log(q) for q in p.tolist() if q > 0)


def test_second_writing() -> None:
    members = np.random.default_rng(0).normal(0, 3, (40, 5, 6))
    information, expected, variance = [], [], []
    for row in members:
        p = softmax_rows(row)
        mean = sum(p) / len(p)
        information.append(-(entropy(mean) - math.fsum(map(entropy, p)) / len(p)))
        expected.append(-math.fsum(map(entropy, p)) / len(p))
        variance.append(-math.fsum(float((q - mean) @ (q - mean)) for q in p) / len(p) / len(mean))
    for name, answer in zip(NAMES, (information, expected, variance), strict=True):
        np.testing.assert_allclose(run(name, bank(members))[0], answer, rtol=1e-9)
        np.testing.assert_allclose(run(name, bank(members), rows=7)[0], answer, rtol=1e-9)


def test_members_that_agree_have_no_information_and_no_variance() -> None:
    one = np.random.default_rng(1).normal(0, 3, (10, 1, 6))
    members = np.repeat(one, 4, axis=1)
    np.testing.assert_allclose(run("mutual-information", bank(members))[0], 0, atol=1e-14)
    np.testing.assert_allclose(run("ensemble-variance", bank(members))[0], 0, atol=1e-14)
    expected = [-entropy(p) for p in softmax_rows(one[:, 0])]
    np.testing.assert_allclose(run("expected-entropy", bank(members))[0], expected, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_saturated_members_and_half_precision_give_numbers(name: str) -> None:
    members = np.array([[[1e4, -1e4, -1e4], [-1e4, 1e4, -1e4]], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    scores, _ = run(name, bank(members, torch.float16))
    assert np.isfinite(scores).all()
    if name == "mutual-information":
        assert scores[0] == pytest.approx(-math.log(2))


@pytest.mark.parametrize("name", ["mutual-information", "ensemble-variance"])
def test_one_member_is_refused(name: str) -> None:
    with pytest.raises(CannotScore, match="needs at least 2 members, got 1"):
        run(name, bank(np.zeros((2, 1, 3))))


def test_a_bank_without_members_is_refused() -> None:
    with pytest.raises(CannotScore, match="needs members: store the logits of each member"):
        run("expected-entropy", MemoryBank.of("test", logits=np.zeros((2, 3))))


@pytest.mark.parametrize("name", ["msp", "energy", "entropy", "logitgap", "klm"])
def test_any_logit_scorer_of_members_alone_is_that_of_the_mean_logit(name: str) -> None:
    members = np.random.default_rng(3).normal(0, 3, (40, 5, 6))
    labels = torch.arange(40) % 6
    alone = MemoryBank.of("test", members=torch.from_numpy(members), labels=labels)
    mean = MemoryBank.of("test", logits=torch.from_numpy(members.mean(axis=1)), labels=labels)
    np.testing.assert_allclose(run(name, alone, fit=alone)[0], run(name, mean, fit=mean)[0], rtol=1e-12)
