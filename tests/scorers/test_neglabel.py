"""NegLabel against a loop over rows and groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from direct import run
from scipy.special import expit

from ood_bench.bank.memory import MemoryBank
from ood_bench.errors import CannotScore


def bank(images: np.ndarray, text: np.ndarray, negatives: np.ndarray | None) -> MemoryBank:
    constants = {"text_features": text}
    if negatives is not None:
        constants["negative_text_features"] = negatives
    return MemoryBank.of("test", features=images, constants=constants)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([[x @ y / math.sqrt(x @ x) / math.sqrt(y @ y) for y in b] for x in a])


def naive(images: np.ndarray, text: np.ndarray, negatives: np.ndarray, groups: int, seed: int, t: float) -> list[float]:
    kept = negatives[: len(negatives) // groups * groups]
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed)).numpy()
    positive, negative = cosines(images, text) / t, cosines(images, kept[order]) / t
    answers = []
    for pos, neg in zip(positive, negative, strict=True):
        mass = []
        for group in np.split(neg, groups):
            powers = np.exp(np.concatenate([pos, group]) - max(pos.max(), group.max()))
            mass.append(powers[: len(pos)].sum() / powers.sum())
        answers.append(math.fsum(mass) / groups)
    return answers


@pytest.mark.parametrize(
    ("spec", "groups", "seed", "t"),
    [
        ("neglabel", 100, 0, 0.01),
        ("neglabel:groups=7,seed=3,temperature=0.1", 7, 3, 0.1),
        ("neglabel:groups=1", 1, 0, 0.01),
        ("neglabel:groups=1000", 230, 0, 0.01),
    ],
)
def test_second_writing(spec: str, groups: int, seed: int, t: float) -> None:
    rng = np.random.default_rng(0)
    text, negatives = rng.normal(size=(12, 16)), 3 * rng.normal(size=(230, 16))
    images = text[rng.integers(0, 12, 40)] + rng.normal(0, 0.7, (40, 16))
    expected = naive(images, text, negatives, groups, seed, t)
    scores, _ = run(spec, bank(images, text, negatives))
    np.testing.assert_allclose(expit(scores), expected, rtol=1e-9)


def test_single_precision_keeps_saturated_rows_apart() -> None:
    rng = np.random.default_rng(1)
    text, negatives = rng.normal(size=(12, 64)), rng.normal(size=(200, 64))
    images = text[rng.integers(0, 12, 100)] + rng.normal(0, 0.3, (100, 64))
    narrow = [array.astype(np.float32) for array in (images, text, negatives)]
    scores, _ = run("neglabel", bank(*narrow))
    wide, _ = run("neglabel", bank(images, text, negatives))
    assert len(np.unique(expit(wide.astype(np.float32)))) < 100  # S itself would round to 1
    assert len(np.unique(scores)) == 100
    np.testing.assert_allclose(scores, wide, rtol=1e-4)


def test_a_zero_row_gives_a_number_and_a_bank_without_negatives_is_refused() -> None:
    rng = np.random.default_rng(2)
    text, negatives = rng.normal(size=(3, 8)), rng.normal(size=(10, 8))
    scores, _ = run("neglabel:groups=5", bank(np.zeros((1, 8)), text, negatives))
    np.testing.assert_allclose(expit(scores), 3 / 5, rtol=1e-12)
    with pytest.raises(CannotScore, match="needs negative-text: store the negative prompts"):
        run("neglabel", bank(np.ones((1, 8)), text, None))
