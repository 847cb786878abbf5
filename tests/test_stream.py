"""Batches: how many rows, what they may share with a bank, what stays between passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning, fit_all, score_bank
from ood_bench.errors import RequestError
from ood_bench.registry import load_all
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import CACHED, FEWEST_ROWS, Feed, Stream, choose_device
from ood_bench.types import Head

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(0)


def bank(n: int = 500, d: int = 20, k: int = 5, **optional: Any) -> MemoryBank:
    features = torch.randn(n, d, generator=GENERATOR).relu_()
    return MemoryBank.of("set", features=features, logits=features[:, :k] * 3, labels=torch.arange(n) % k, **optional)


def test_a_smaller_budget_means_fewer_rows_down_to_a_floor() -> None:
    given = bank()
    rows = [Stream(CPU, memory).rows_for(given) for memory in (1 << 34, 1 << 24, 1 << 20, 1)]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] > rows[1] > rows[2]
    assert rows[-1] == FEWEST_ROWS
    assert Stream(CPU, 1, rows=7).rows_for(given) == 7


def test_a_batch_on_a_cpu_is_no_larger_than_its_caches_like() -> None:
    wide = bank(n=10, d=4000, k=5)
    assert Stream(CPU, 1 << 40).rows_for(wide) * 4 * 4005 <= CACHED


def test_tensors_of_a_row_beside_features_and_logits_count() -> None:
    local, members = torch.randn(500, 49, 20, generator=GENERATOR), torch.randn(500, 8, 5, generator=GENERATOR)
    stream = Stream(CPU, 1 << 24)
    without, with_both = stream.rows_for(bank()), stream.rows_for(bank(local_features=local, members=members))
    assert with_both == pytest.approx(without * 26 / (26 + 49 * 20 + 8 * 5), rel=0.1) or with_both == FEWEST_ROWS
    assert with_both < without


@pytest.mark.parametrize("rows", [None, 33])
def test_a_search_of_many_rows_answers_the_few_that_are_scored(rows: int | None) -> None:
    """Rows are scored in other portions than they are searched in; both give what one portion gives."""
    load_all()
    fit, test = bank(700), bank(1000)
    learning = Learning(None, fit)
    info = describe(learning, [test])
    specs = [parse_spec(name).resolved(info) for name in ("knn:k=5", "nnguide:k=3", "relation", "msp")]
    whole = scores(learning, test, specs, Stream(CPU, 1 << 30, rows=10_000))
    parts = scores(learning, test, specs, Portions(CPU, 1 << 30, rows))
    for spec in specs:
        assert torch.allclose(parts[spec], whole[spec], rtol=1e-5, atol=1e-6)


class Portions(Stream):
    """Scores 100 rows at a time of 300 that are searched together."""

    def rows_for(self, bank: object) -> int:
        return self.rows or 100

    def rows_searched(self, bank: object, kept: int) -> int:
        return 300


def scores(learning: Learning, test: MemoryBank, specs: list, stream: Stream) -> dict:  # type: ignore[type-arg]
    info = describe(learning, [test])
    fits = fit_all(specs, learning, info, stream)
    done = score_bank(list(fits.fitted.values()), test, learning, info, stream)
    assert not fits.refused
    assert not done.refused
    return {spec: torch.from_numpy(found.values) for spec, found in done.scores.items()}


def test_batches_share_no_memory_unless_the_readers_are_trusted() -> None:
    given = bank()
    pointer = given.read("features").data_ptr()
    (copied,) = Stream(CPU, 1 << 30, rows=500).batches(given, None, 5)
    assert copied.features.data_ptr() != pointer
    (lent,) = Stream(CPU, 1 << 30, rows=500).for_readers(trusted=True).batches(given, None, 5)
    assert lent.features.data_ptr() == pointer


def test_half_precision_is_widened_and_labels_are_not() -> None:
    given = MemoryBank.of("set", features=torch.ones(3, 2).half(), labels=torch.tensor([0, 1, 2]))
    (batch,) = Stream(CPU, 1 << 20).batches(given, None, 3)
    assert batch.features.dtype == torch.float32
    assert batch.labels.dtype == torch.int64


def test_a_feed_reads_a_small_bank_once_and_a_large_one_every_time() -> None:
    given = bank()
    small, large = (Feed(Stream(CPU, memory), given, None, 5) for memory in (1 << 30, 1 << 10))
    assert [len(list(small)) for _ in range(2)] == [1, 1]
    assert small.held
    assert len(list(large)) == len(list(large)) > 1
    assert not large.held


def test_a_feed_reads_anew_what_was_written_into() -> None:
    given = bank()
    feed = Feed(Stream(CPU, 1 << 30), given, None, 5)
    (first,) = feed
    first.features.zero_()
    (second,) = feed
    assert torch.equal(second.features, given.read("features"))


def test_a_pass_that_was_cut_off_leaves_nothing_behind() -> None:
    feed = Feed(Stream(CPU, 1 << 30, rows=100), bank(), None, 5)
    next(iter(feed))
    assert not feed.held
    assert [batch.start for batch in feed] == [0, 100, 200, 300, 400]


def test_the_head_comes_in_the_type_of_the_batch() -> None:
    head = Head(torch.ones(5, 20, dtype=torch.float64), torch.zeros(5, dtype=torch.float64))
    (batch,) = replace(Stream(CPU, 1 << 30), rows=500).batches(bank(), head, 5)
    assert batch.head.weight.dtype == torch.float32
    assert batch.double.head.weight.dtype == torch.float64


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert choose_device("auto") == CPU
    with pytest.raises(RequestError, match="expects a CUDA GPU"):
        choose_device("cuda")
    with pytest.raises(RequestError, match="takes auto, cpu or cuda"):
        choose_device("tpu")
