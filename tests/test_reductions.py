"""Every reduction equals NumPy on the whole bank, whatever the split into batches and the tree of merges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import features, logits, max_logit, unit_features
from ood_bench.errors import CannotScore
from ood_bench.quantiles import quantile
from ood_bench.reductions import ClassMeans, Collect, Mean, Moments, Sample

N, D, K = 97, 6, 5


@dataclass(frozen=True)
class Data:
    features: Tensor
    logits: Tensor
    labels: Tensor

    def batches(self, cuts: Sequence[int]) -> list[Batch]:
        bounds = [0, *sorted(set(cuts)), len(self.labels)]
        return [
            Batch(features=self.features[a:b], logits=self.logits[a:b], labels=self.labels[a:b], start=a)
            for a, b in pairwise(bounds)
            if a < b
        ]


def data(seed: int = 0, offset: float = 0.0, dtype: torch.dtype = torch.float64, n: int = N) -> Data:
    rng = np.random.default_rng(seed)
    made, read = torch.from_numpy(rng.normal(offset, 2, (n, D))), torch.from_numpy(rng.normal(0, 3, (n, K)))
    return Data(made.to(dtype), read.to(dtype), torch.from_numpy(rng.integers(-1, K, n)))


def streamed(question: Any, batches: list[Batch]) -> Any:
    partial = None
    for batch in batches:
        partial = question.add(partial, batch)
    return question.result(partial)


def merged(question: Any, batches: list[Batch], order: Callable[[int], int]) -> Any:
    """Each batch on a worker of its own; neighbours are merged in the order that `order` picks."""
    partials = [question.add(None, batch) for batch in batches]
    while len(partials) > 1:
        at = order(len(partials) - 1)
        partials[at : at + 2] = [question.merge(partials[at], partials[at + 1])]
    return question.result(partials[0])


def answered(conversation: Any, batches: list[Batch]) -> Any:
    question = next(conversation)
    while True:
        try:
            question = conversation.send(streamed(question, batches))
        except StopIteration as stop:
            return stop.value


def tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [torch.as_tensor(value) for value in vars(result).values() if not isinstance(value, dict)]


QUESTIONS = {
    "moments": Moments(),
    "moments of unit rows": Moments(unit_features),
    "mean of numbers": Mean(max_logit),
    "mean of rows": Mean(logits),
    "by label": ClassMeans(),
    "by predicted": ClassMeans("predicted", of=logits),
    "by correct": ClassMeans("correct"),
    "collect": Collect(max_logit),
    "sample": Sample(20, seed=4),
}


@pytest.mark.parametrize("name", QUESTIONS)
@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, N), max_size=12), choices=st.lists(st.integers(0, 10**6), min_size=13, max_size=13))
def test_any_split_and_any_tree_of_merges_agree(name: str, cuts: list[int], choices: list[int]) -> None:
    bank = data()
    question: Any = QUESTIONS[name]
    # Rows may lack a label, and a batch may have no row that counts.
    whole = streamed(question, bank.batches([]))
    picks = iter(choices)
    for other in (
        streamed(question, bank.batches(cuts)),
        merged(question, bank.batches(cuts), lambda count: next(picks) % count),
    ):
        for a, b in zip(tensors(whole), tensors(other), strict=True):
            assert a.shape == b.shape
            assert torch.allclose(a.double(), b.double(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_are_those_of_numpy(dtype: torch.dtype) -> None:
    bank = data(dtype=dtype)
    result = streamed(Moments(), bank.batches([10, 11, 60]))
    rows = bank.features.double().numpy()
    assert result.n == N
    np.testing.assert_allclose(result.mean, rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(result.covariance, np.cov(rows.T, bias=True), rtol=1e-12, atol=1e-13)
    point = np.arange(D) / 3
    about = (rows - point).T @ (rows - point) / N
    np.testing.assert_allclose(result.about(torch.from_numpy(point)), about, rtol=1e-12)
    for given_point, matrix in ((None, np.cov(rows.T, bias=True)), (torch.from_numpy(point), about)):
        values, vectors = result.spectrum(given_point)
        np.testing.assert_allclose(vectors @ torch.diag(values) @ vectors.T, matrix, rtol=1e-10, atol=1e-12)
        assert result.spectrum(given_point)[1] is vectors  # kept
        assert (values.diff() >= 0).all()


def test_a_large_mean_costs_the_covariance_no_digits() -> None:
    bank = data(offset=1e6)
    rows = bank.features.numpy()
    exact = np.cov((rows - 1e6).T, bias=True)  # the subtraction is exact at this size
    for cuts in ([], [1, 2, 50], list(range(N))):
        for result in (streamed(Moments(), bank.batches(cuts)), merged(Moments(), bank.batches(cuts), lambda _: 0)):
            np.testing.assert_allclose(result.covariance, exact, rtol=1e-9, atol=1e-11)


def test_one_row_and_one_column() -> None:
    bank = data(n=1)
    result = streamed(Moments(), bank.batches([]))
    assert torch.equal(result.mean, bank.features[0])
    assert torch.equal(result.scatter, torch.zeros(D, D, dtype=torch.float64))
    narrow = Batch(features=torch.tensor([[1.0], [4.0]]))
    assert streamed(Moments(), [narrow]).covariance.item() == 2.25


@pytest.mark.parametrize("by", ["label", "predicted", "correct"])
def test_class_means_are_loops(by: Any) -> None:
    bank = data()
    result = streamed(ClassMeans(by), bank.batches([5, 40]))
    labels, predicted = bank.labels.numpy(), bank.logits.numpy().argmax(axis=1)
    for c in range(K):
        rows = bank.features.numpy()[
            {"label": labels == c, "predicted": predicted == c, "correct": (labels == c) & (predicted == c)}[by]
        ]
        assert result.counts[c] == len(rows)
        np.testing.assert_allclose(result.means[c], rows.mean(axis=0), rtol=1e-12)


def test_classes_without_rows_are_absent_and_between_is_what_within_leaves() -> None:
    bank = data()
    labels = torch.where(bank.labels < 1, 2, bank.labels)  # class 0 has none
    bank = Data(bank.features + 1e6, bank.logits, labels)
    batches = bank.batches([30])
    result, moments = streamed(ClassMeans(), batches), streamed(Moments(), batches)
    assert result.present.tolist() == [1, 2, 3, 4]
    assert result.means[0].isnan().all()
    rows = bank.features.numpy() - 1e6
    within = np.zeros((D, D))
    for c in range(1, K):
        left = rows[labels == c] - rows[labels == c].mean(axis=0)
        within += left.T @ left
    np.testing.assert_allclose(moments.scatter - result.between, within, rtol=1e-7, atol=1e-6)


def test_no_row_to_group_is_refused() -> None:
    batch = Batch(features=torch.zeros(3, 2), logits=torch.zeros(3, K), labels=torch.full((3,), -1))
    with pytest.raises(CannotScore, match="fit set has no row to group by label class"):
        streamed(ClassMeans(), [batch])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q", [0.0, 0.1, 1 / 3, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("cuts", [[], [1, 50]])
def test_quantiles_are_those_of_numpy(dtype: torch.dtype, q: float, cuts: list[int]) -> None:
    bank = data(dtype=dtype)
    bank.features[:, 2] = bank.features[:, 2].round()  # ties, and both zeros
    bank.features[:5, 2] *= -0.0
    batches, rows = bank.batches(cuts), bank.features.double().numpy()
    over_all = answered(quantile(q), batches)
    by_column = answered(quantile(q, per_column=True), batches)
    np.testing.assert_allclose(np.squeeze(over_all), np.quantile(rows, q), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(by_column, np.quantile(rows, q, axis=0), rtol=1e-14, atol=1e-15)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=40),
    q=st.floats(0, 1),
    cut=st.integers(0, 40),
)
def test_quantiles_of_anything(values: list[float], q: float, cut: int) -> None:
    rows = torch.tensor(values, dtype=torch.float32)[:, None]
    batches = [Batch(features=part, start=0) for part in (rows[:cut], rows[cut:]) if len(part)]
    expected = np.quantile(np.array(values), q)
    np.testing.assert_allclose(np.squeeze(answered(quantile(q), batches)), expected, rtol=1e-12, atol=1e-300)


def test_a_sample_is_distinct_rows_chosen_by_seed_and_place_alone() -> None:
    bank = data()
    place = torch.arange(N, dtype=torch.float64)[:, None].expand(N, D)
    marked = Data(place, bank.logits, bank.labels)

    def drawn(n: int, seed: int, cuts: list[int]) -> list[float]:
        return streamed(Sample(n, seed), marked.batches(cuts))[:, 0].tolist()  # type: ignore[no-any-return]

    assert len(set(drawn(30, 0, []))) == 30
    assert drawn(30, 0, [7, 8, 90]) == drawn(30, 0, [])
    assert drawn(30, 1, []) != drawn(30, 0, [])
    assert drawn(30, 0, [])[:10] == drawn(10, 0, [])
    assert sorted(drawn(1000, 0, [])) == list(range(N))


def test_a_sample_prefers_no_place() -> None:
    place = torch.arange(200.0)[:, None]
    chosen = torch.zeros(200)
    for seed in range(400):
        rows = streamed(Sample(20, seed), [Batch(features=place)])[:, 0].long()
        chosen[rows] += 1
    # Each place is expected 40 times with deviation 6; the largest of 200 stays within 5 deviations.
    assert chosen.min() > 10
    assert chosen.max() < 70


def test_collect_restores_the_order_of_the_bank() -> None:
    bank = data()
    batches = bank.batches([10, 20, 70])
    result = merged(Collect(features), batches[::-1], lambda count: count - 1)
    assert torch.equal(result, bank.features)
