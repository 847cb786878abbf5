"""A batch: every shared intermediate against its plain formula, computed once, and carried along by slices."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special
import torch

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.types import Head

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(9, 5))
FEATURES[4] = 0
WEIGHT, BIAS = RNG.normal(size=(6, 5)), RNG.normal(size=6)
LOGITS = FEATURES @ WEIGHT.T + BIAS
LOGITS[2] = [1e4, -1e4, 0, 0, 0, 1e4 - 1]  # where a naive softmax overflows
LOGITS[3] = 2.0  # all equal


def batch(**changes: object) -> Batch:
    tensors: dict[str, object] = {"features": torch.from_numpy(FEATURES), "logits": torch.from_numpy(LOGITS)}
    return Batch(**(tensors | changes), head=Head(torch.from_numpy(WEIGHT), torch.from_numpy(BIAS)))  # type: ignore[arg-type]  # the tensors


PROBABILITIES = scipy.special.softmax(LOGITS, axis=1)
OTHERS = LOGITS - LOGITS.max(axis=1, keepdims=True)
OTHERS[np.arange(9), LOGITS.argmax(axis=1)] = -np.inf
FORMULAS: dict[str, np.ndarray] = {
    "max_logit": LOGITS.max(axis=1),
    "predicted": LOGITS.argmax(axis=1),
    "others": np.where(np.isinf(OTHERS), 0, PROBABILITIES),
    "others_sum": np.where(np.isinf(OTHERS), 0, PROBABILITIES).sum(axis=1),
    "odds": np.exp(OTHERS).sum(axis=1),
    "confidence": PROBABILITIES.max(axis=1),
    "logsumexp": scipy.special.logsumexp(LOGITS, axis=1),
    "log_confidence": -np.log1p(np.exp(OTHERS).sum(axis=1)),
    "probabilities": PROBABILITIES,
    "mean_logit": LOGITS.mean(axis=1),
    "feature_norm": np.linalg.norm(FEATURES, axis=1),
    "unit_features": FEATURES
    / np.where(np.linalg.norm(FEATURES, axis=1) == 0, 1, np.linalg.norm(FEATURES, axis=1))[:, None],
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_shared_intermediate_is_its_formula_whole_and_in_slices_and_in_double(name: str) -> None:
    whole = batch()
    np.testing.assert_allclose(getattr(whole, name).numpy(), FORMULAS[name], rtol=1e-12, atol=1e-15)
    part = whole.rows(2, 7)
    np.testing.assert_allclose(getattr(part, name).numpy(), FORMULAS[name][2:7], rtol=1e-12, atol=1e-15)
    assert part.start == 2
    narrow = batch(features=torch.from_numpy(FEATURES).float(), logits=torch.from_numpy(LOGITS).float())
    assert getattr(narrow, name).dtype in (torch.float32, torch.int64)
    assert getattr(narrow.double, name).dtype in (torch.float64, torch.int64)


def test_every_shared_intermediate_has_its_formula_here() -> None:
    shared = {name for name, value in vars(Batch).items() if type(value).__name__ == "shared"}
    assert shared - {"double"} == set(FORMULAS)


def test_what_is_shared_is_computed_once_and_nothing_given_changes() -> None:
    one = batch()
    kept = {name: tensor.clone() for name, tensor in one.held().items()}
    assert one.others is one.others
    assert one.double is one.double
    for name in FORMULAS:
        getattr(one, name)
    for name, tensor in kept.items():
        assert torch.equal(one.held()[name], tensor)


def test_a_batch_and_its_tensors_go_with_their_last_reader() -> None:
    """Without waiting for Python's collector of cycles, which counts objects and not their bytes."""
    one = batch(features=torch.from_numpy(FEATURES).float(), logits=torch.from_numpy(LOGITS).float())
    for name in FORMULAS:
        getattr(one, name)
        getattr(one.double, name)
    part = one.rows(0, 3).answered_by(lambda rows, question: rows.logits)
    part.answer("question")
    held = [weakref.ref(batch) for batch in (one, one.double, part)]
    gc.disable()
    try:
        del one, part
        assert [reference() for reference in held] == [None] * 3
    finally:
        gc.enable()


def test_one_selection_serves_every_count() -> None:
    one = batch()
    expected = -np.sort(-LOGITS, axis=1)
    one.expect_top(4)
    assert torch.equal(one.top(2), torch.from_numpy(expected[:, :2]))
    held = one.held()["top"]
    assert torch.equal(one.top(4), torch.from_numpy(expected[:, :4]))
    assert one.held()["top"] is held
    assert torch.equal(one.top(6), torch.from_numpy(expected))
    assert torch.equal(one.top(3), torch.from_numpy(expected[:, :3]))


def test_logits_follow_from_the_head_where_a_rectifier_left_them_out() -> None:
    one = batch().replace(features=torch.from_numpy(FEATURES * 2))
    np.testing.assert_allclose(one.logits.numpy(), 2 * FEATURES @ WEIGHT.T + BIAS, rtol=1e-12)
    other = batch().replace(head=Head(torch.from_numpy(2 * WEIGHT), torch.from_numpy(BIAS)))
    np.testing.assert_allclose(other.logits.numpy(), 2 * FEATURES @ WEIGHT.T + BIAS, rtol=1e-12)
    np.testing.assert_allclose(batch().logits.numpy(), LOGITS)


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (lambda one: one.features, "features"),
        (lambda one: one.labels, "labels"),
        (lambda one: one.head, "head"),
        (lambda one: one.extra("members"), "members"),
        (lambda one: one.constant("text_features"), "text_features"),
    ],
)
def test_what_the_bank_has_not_is_a_refusal_that_says_what_to_declare(
    read: Callable[[Batch], object], name: str
) -> None:
    one = Batch(logits=torch.from_numpy(LOGITS))
    with pytest.raises(
        CannotScore, match=f"the bank has no {name}; a scorer that reads them names '{name}' in `needs`"
    ):
        read(one)


def test_neighbours_must_be_listed() -> None:
    with pytest.raises(CannotScore, match="list the question in the scorer's `neighbours`"):
        batch().answer("anything")


def test_the_head_has_its_origin_where_logits_vanish() -> None:
    head = Head(torch.from_numpy(WEIGHT[:3]), torch.from_numpy(BIAS[:3]))
    np.testing.assert_allclose(head.logits(head.origin[None]).numpy(), 0, atol=1e-12)
