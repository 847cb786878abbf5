"""The streamed search equals brute force, and its selection equals a plain top-k."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.neighbours import Searcher, TopCosine, keep_largest, search


def plain(values: Tensor, k: int) -> Tensor:
    return values.sort(dim=1, descending=True).values[:, :k]


@pytest.mark.parametrize("m", [1, 15, 16, 17, 100, 333, 1024, 4099])
@pytest.mark.parametrize("k", [1, 2, 10, 50, 400])
def test_a_selection_is_the_plain_one(m: int, k: int) -> None:
    values = torch.randn(7, m, generator=torch.Generator().manual_seed(m + k))
    assert torch.equal(keep_largest(None, values, k), plain(values, k))


@settings(deadline=None, max_examples=150)
@given(
    q=st.integers(1, 4),
    blocks=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    k=st.integers(1, 40),
    levels=st.integers(1, 5),
    seed=st.integers(0, 10**6),
)
def test_kept_over_blocks_with_many_ties(q: int, blocks: list[int], k: int, levels: int, seed: int) -> None:
    values = torch.randint(0, levels, (q, sum(blocks)), generator=torch.Generator().manual_seed(seed)).float()
    state = None
    for block in values.split(blocks, dim=1):
        before = block.clone()
        state = keep_largest(state, block, k)
        assert torch.equal(block, before)
    assert state is not None
    assert torch.equal(state, plain(values, k))


def test_infinities_and_negatives_are_values_too() -> None:
    values = torch.full((2, 200), -5.0)
    values[0, 150] = -1.0
    values[1, ::2] = -torch.inf
    assert torch.equal(keep_largest(None, values, 3), plain(values, 3))


def banks(n: int = 70, q: int = 23, d: int = 5, seed: int = 0) -> tuple[Batch, list[Tensor], Tensor]:
    rng = np.random.default_rng(seed)
    rows, queries = torch.from_numpy(rng.normal(size=(n, d))), torch.from_numpy(rng.normal(size=(q, d)))
    queries[3] = 0.0
    queries[4] = 3 * rows[8]
    cosine = np.array([[_cosine(a.numpy(), b.numpy()) for b in rows] for a in queries])
    return Batch(features=queries), list(rows.split([1, 29, 31, n - 61])), torch.from_numpy(cosine)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    length = np.sqrt(a @ a) * np.sqrt(b @ b)
    return float(a @ b / length) if length > 0 else 0.0


@pytest.mark.parametrize("block", [1, 7, 64, 200, 10**9])
@pytest.mark.parametrize("k", [1, 6, 70, 99])
def test_a_search_is_brute_force(block: int, k: int) -> None:
    queries, parts, cosine = banks()
    rows = [Batch(features=part) for part in parts]
    answer = search(queries, rows, [TopCosine(k)], block)[TopCosine(k)]
    assert torch.allclose(answer, plain(cosine, k), rtol=1e-12, atol=1e-14)


@dataclass(frozen=True)
class Total:
    """Sum of the cosines, with the number of rows seen: a running sum beside the selections."""

    weight: float = 1.0

    def add(self, state: Tensor | None, queries: Batch, rows: Batch, cosine: Tensor) -> Tensor:
        total = self.weight * cosine.sum(dim=1)
        return total if state is None else state + total

    def widened(self, other: object) -> Total | None:
        return self if other == self else None

    def narrowed(self, answer: Tensor) -> Tensor:
        return answer


@pytest.mark.parametrize("block", [5, 10**9])
def test_one_search_answers_every_k_and_other_questions(block: int) -> None:
    queries, parts, cosine = banks()
    streams = 0

    def rows() -> list[Batch]:
        nonlocal streams
        streams += 1
        return [Batch(features=part) for part in parts]

    questions = (TopCosine(3), Total(), TopCosine(20), Total(2.0), TopCosine(1))
    queries.answered_by(Searcher(rows, tuple(questions), block))
    for question in questions:
        answer = queries.answer(question)
        if isinstance(question, TopCosine):
            assert torch.allclose(answer, plain(cosine, question.k), rtol=1e-12, atol=1e-14)
        else:
            assert torch.allclose(answer, question.weight * cosine.sum(dim=1), rtol=1e-12, atol=1e-13)
    assert streams == 1


def test_a_wider_question_is_asked_once() -> None:
    asked = []

    @dataclass(frozen=True)
    class Counted(TopCosine):
        def add(self, state: Tensor | None, queries: Batch, rows: Batch, cosine: Tensor) -> Tensor:
            asked.append(self.k)
            return super().add(state, queries, rows, cosine)

    queries, parts, _ = banks()
    search(queries, [Batch(features=parts[1])], [Counted(2), Counted(9), Counted(4)], 10**9)
    assert asked == [9]
