"""On a GPU every scorer gives what it gives on the CPU, batch by batch, without waiting for the device in a pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, problem

from ood_bench.engine import Learning, fit_all, score_bank
from ood_bench.errors import CannotScore
from ood_bench.registry import SCORERS, load_all
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream
from ood_bench.transfer import PinnedCopies

pytestmark = pytest.mark.gpu
load_all()
BUDGET = 1 << 28
GIVEN = problem(3)


def scores(given: Problem, name: str, device: torch.device, dtype: torch.dtype, rows: int | None) -> np.ndarray:
    fit, val, test = (given.bank(split, dtype) for split in ("fit", "val", "test"))
    learning = Learning(given.head, fit, val)
    info = describe(learning, [test])
    try:
        spec = parse_spec(name).resolved(info)
    except CannotScore as refusal:
        pytest.skip(f"refused by the scorer itself: {refusal}")
    stream = Stream(device, BUDGET, rows)
    fits = fit_all([spec], learning, info, stream)
    if spec in fits.refused:
        pytest.skip(f"this problem lacks what it needs: {fits.refused[spec].reason}")
    done = score_bank(list(fits.fitted.values()), test, learning, info, stream)
    assert not done.refused
    return done.scores[spec].values


@pytest.mark.parametrize("rows", [None, 17])
@pytest.mark.parametrize("name", SCORERS.names())
def test_a_score_is_that_of_the_cpu(cuda: torch.device, name: str, rows: int | None) -> None:
    here = scores(GIVEN, name, torch.device("cpu"), torch.float64, None)
    there = scores(GIVEN, name, cuda, torch.float64, rows)
    scale = np.abs(here).max()
    # float64 on both; sums and decompositions run in another order, and eigenvectors carry that on
    assert np.abs(there - here).max() <= 1e-7 * scale


@pytest.mark.parametrize("name", ["msp", "vim", "knn", "mds", "react+energy", "mano"])
def test_float32_ranks_as_on_the_cpu(cuda: torch.device, name: str) -> None:
    here = scores(GIVEN, name, torch.device("cpu"), torch.float32, None)
    there = scores(GIVEN, name, cuda, torch.float32, None)
    assert np.abs(there - here).max() <= 1e-4 * np.abs(here).max()  # no TF32: that would be 1e-3


def test_tf32_and_bf16_are_off(cuda: torch.device) -> None:
    assert cuda.type == "cuda"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("name", ["msp", "entropy", "gen", "logitgap", "knn", "vim", "mds", "klm", "energy", "she"])
def test_scoring_never_waits_for_the_device(cuda: torch.device, name: str) -> None:
    test = GIVEN.bank("test", torch.float32)
    learning = Learning(GIVEN.head, GIVEN.bank("fit", torch.float32))
    info = describe(learning, [test])
    spec = parse_spec(name).resolved(info)
    stream = Stream(cuda, BUDGET)
    (fitted,) = fit_all([spec], learning, info, stream).fitted.values()
    (batch,) = stream.batches(test, learning.head, info.n_classes, test.n)
    if fitted.neighbours:
        pytest.skip("the answers of a search are asked of the engine, not of a batch alone")
    fitted.score(batch)  # the libraries' own first steps may wait
    (batch,) = stream.batches(test, learning.head, info.n_classes, test.n)
    torch.cuda.set_sync_debug_mode("error")
    try:
        fitted.score(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_copies_through_pinned_buffers_are_the_rows_themselves(cuda: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1003, 31, generator=generator)
    labels = torch.arange(1003)
    parts = [(at, {"rows": rows[at : at + 100], "labels": labels[at : at + 100]}) for at in range(0, 1003, 100)]
    arrived = list(PinnedCopies(cuda).ahead(parts))
    assert [start for start, _ in arrived] == list(range(0, 1003, 100))
    assert torch.equal(torch.cat([tensors["rows"].cpu() for _, tensors in arrived]), rows)
    assert torch.equal(torch.cat([tensors["labels"].cpu() for _, tensors in arrived]), labels)
