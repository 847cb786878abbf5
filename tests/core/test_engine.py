"""The engine: passes are shared, how rows arrive is no matter, and what cannot be had is said."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import GIVEN, Outcome, run
from support import CPU, problem
from torch import Tensor

from ood_bench.bank.memory import MemoryBank
from ood_bench.contract import Case
from ood_bench.engine import Learning, Refusal, fit_all, score_bank
from ood_bench.registry import SCORERS
from ood_bench.requirements import describe
from ood_bench.runner import every_spec
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream
from ood_bench.types import Head


@dataclass(frozen=True, eq=False)
class Counting:
    """A bank that counts how often it is streamed."""

    bank: MemoryBank
    streamed: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bank, name)

    def batches(self, rows: int, names: Collection[str] | None = None) -> Iterator[tuple[int, dict[str, Tensor]]]:
        self.streamed.append(rows)
        return self.bank.batches(rows, names)


def test_a_fit_takes_the_passes_of_the_longest_chain_and_a_score_takes_one() -> None:
    fit, val, test = Counting(GIVEN.bank("fit")), Counting(GIVEN.bank("val")), Counting(GIVEN.bank("test"))
    learning = Learning(GIVEN.head, fit, val)
    alone = {}
    for spec in ("msp", "mds", "vim", "react+vim", "tempscale"):
        before = len(fit.streamed), len(val.streamed)
        run([parse_spec(spec)], learning, [GIVEN.bank("ood")], memory=0)  # nothing may stay in memory between passes
        alone[spec] = len(fit.streamed) - before[0], len(val.streamed) - before[1]
    assert alone["msp"] == (0, 0)
    assert alone["mds"] == (1, 0)
    assert alone["vim"] == (2, 0)
    assert alone["react+vim"] == (6, 0)  # four for the exact quantile of float64 features, two for what is behind it
    assert alone["tempscale"][1] > 0
    fit.streamed.clear()
    val.streamed.clear()
    together = ["msp", "mds", "vim", "react+vim", "tempscale", "residual", "rmds", "neco", "ssd"]
    outcome = run(list(map(parse_spec, together)), learning, [test], memory=0)
    assert not outcome.refused
    assert len(fit.streamed) == 6
    assert len(val.streamed) == alone["tempscale"][1]
    assert len(test.streamed) == 1
    asked = [done for done in outcome.fits.passes if done.question == "Moments(features)" and done.split == "fit"]
    assert any(set(done.used_by) >= {"mds", "vim:dim=12", "residual:dim=12", "rmds"} for done in asked)
    assert len(asked) == 2  # of the features, and of the features behind react


def test_one_search_of_the_fit_bank_serves_every_neighbour_scorer() -> None:
    fit = Counting(GIVEN.bank("fit"))
    run(list(map(parse_spec, ("knn:k=3", "knn:k=9", "nnguide"))), Learning(GIVEN.head, fit), [GIVEN.bank("test")])
    alone = Counting(GIVEN.bank("fit"))
    run([parse_spec("nnguide")], Learning(GIVEN.head, alone), [GIVEN.bank("test")])
    assert len(fit.streamed) == len(alone.streamed)


# -- how rows arrive is no matter ----------------------------------------------------------------------------------------

# EM repeats its steps up to a hundred times and carries the rounding of the first sums along.
LOOSER = {"gmm": 1e-10}


@pytest.fixture(scope="module")
def real(shared: Path) -> Case:
    """Rows of the MNIST network, with everything beside them that any scorer needs."""
    folder = shared / "data" / "mnist-oe-baseline"
    train, test, ood, head = (np.load(folder / f"{name}.npz") for name in ("train", "test", "notmnist", "head"))
    rng = np.random.default_rng(0)

    def rows(file: Any, n: int) -> tuple[Tensor, Tensor]:
        chosen = rng.permutation(len(file["labels"]))[:n]
        return torch.from_numpy(file["features"][chosen]).double(), torch.from_numpy(file["labels"][chosen])

    fit = rows(train, 1000)
    weight, bias = (torch.from_numpy(head[name]).double() for name in ("W", "b"))
    learnt, held_out = ((fit[0][part], fit[1][part]) for part in (slice(700), slice(700, None)))
    return Case(Head(weight, bias), learnt, held_out, rows(test, 150), rows(ood, 90)[0])


def of_case(case: Case, dtype: torch.dtype, order: Tensor, **options: Any) -> dict[str, np.ndarray]:
    banks = {
        name: case.bank(name, *rows, dtype)
        for name, rows in (("fit", case.fit), ("val", case.val), ("test", (case.test[0][order], case.test[1][order])))
    }
    learning = Learning(Head(case.head.weight.to(dtype), case.head.bias.to(dtype)), banks["fit"], banks["val"])
    outcome = run(every_spec(), learning, [banks["test"], case.bank("ood", case.ood, None, dtype)], **options)
    assert not outcome.refused, outcome.refused
    return outcome.scores


def furthest(a: np.ndarray, b: np.ndarray) -> float:
    """Relative to the larger of a score and the scores' scale."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(a), np.sqrt(np.mean(a**2)))))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_batch_size_memory_and_order_change_no_score(real: Case, dtype: torch.dtype, tolerance: float) -> None:
    straight = torch.arange(150)
    turned = torch.randperm(150, generator=torch.Generator().manual_seed(3))
    back = np.concatenate([turned.argsort().numpy(), np.arange(150, 240)])
    whole = of_case(real, dtype, straight, rows=None)
    assert len(whole) == len(SCORERS.names())
    other = {
        "batches of 47": of_case(real, dtype, straight, rows=47),
        "1 MiB": of_case(real, dtype, straight, rows=None, memory=1 << 20),
        "another order": {name: scores[back] for name, scores in of_case(real, dtype, turned, rows=64).items()},
    }
    for how, scores in other.items():
        for name, values in whole.items():
            found = furthest(values, scores[name])
            assert found <= max(tolerance, LOOSER.get(name, 0)), f"{name} in {how}: {found:.1e}"


def test_with_a_search_that_is_streamed_neighbours_are_the_same(real: Case) -> None:
    def scores(memory: int) -> Outcome:
        banks = [real.bank(name, *rows, torch.float64) for name, rows in (("fit", real.fit), ("test", real.test))]
        specs = [parse_spec(name) for name in ("knn", "nnguide", "relation", "knn:k=1")]
        return run(specs, Learning(real.head, banks[0]), [banks[1]], memory=memory, rows=None)

    small = 1 << 19
    assert small // 2 < 3 * 4 * 700 * 60  # so that the fit rows are not kept
    kept, streamed = scores(1 << 28).scores, scores(small).scores
    assert kept.keys() == streamed.keys()
    for name, values in kept.items():
        assert furthest(values, streamed[name]) <= 1e-12, name


# -- what a bank lacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("without", "spec", "reason"),
    [
        ("head", "vim", "needs head: give the last layer as head.npz"),
        ("fit", "knn", "needs fit: name the ID training set with --fit"),
        ("labels", "mds", "needs fit-labels: give the ID fit set `labels`"),
        ("val", "tempscale", "needs val: name the ID validation set with --val, or .* --val-from-fit"),
        ("features", "react+energy", "needs features: store the penultimate features"),
        ("members", "expected-entropy", "needs members: store the logits of each member"),
    ],
)
def test_what_lacks_an_input_is_skipped_with_the_flag_that_would_supply_it(
    without: str, spec: str, reason: str
) -> None:
    banks = {}
    for name in GIVEN.sets:
        tensors = dict(GIVEN.bank(name).tensors)
        for tensor in ("features", "labels"):
            if without == tensor:
                tensors.pop(tensor)
        banks[name] = MemoryBank.of(name, model="toy", **tensors)
    head = None if without in ("head", "features") else GIVEN.head
    learning = Learning(head, *(None if without == split else banks[split] for split in ("fit", "val")))
    outcome = run([parse_spec("msp"), parse_spec(spec)], learning, [banks["test"]])
    assert outcome.scores.keys() == {"msp"}
    (refusal,) = outcome.refused.values()
    assert not refusal.failed
    assert re.search(reason, refusal.reason), refusal.reason


def test_a_bank_that_lacks_an_input_drops_out_alone() -> None:
    poor = MemoryBank.of("ood", model="toy", logits=GIVEN.logits("ood"))
    learning = Learning(GIVEN.head, GIVEN.bank("fit"))
    specs = [parse_spec("msp"), parse_spec("knn")]
    info = describe(learning, [GIVEN.bank("test")])
    stream = Stream(CPU, 1 << 28)
    fits = fit_all([spec.resolved(info) for spec in specs], learning, info, stream)
    done = score_bank(list(fits.fitted.values()), poor, learning, info, stream)
    assert [str(spec) for spec in done.scores] == ["msp"]
    ((spec, refusal),) = done.refused.items()
    assert spec.name == "knn"
    assert refusal == Refusal(
        "ood has no features; store the penultimate features in the bank (array `features`)", False
    )


def test_an_assumption_that_does_not_hold_marks_the_cell() -> None:
    given = problem(2, relu=False)
    learning = Learning(given.head, given.bank("fit"))
    info = describe(learning, [given.bank("test")])
    stream = Stream(CPU, 1 << 28)
    fits = fit_all([parse_spec(name).resolved(info) for name in ("ash-s", "msp")], learning, info, stream)
    done = score_bank(list(fits.fitted.values()), given.bank("test"), learning, info, stream)
    marks = {spec.name: scores.marks for spec, scores in done.scores.items()}
    lowest = given.features("test").min()
    assert marks["ash-s+energy"] == (f"assumes non-negative features, but the smallest is {lowest:.3g}",)
    assert marks["msp"] == ()


def test_predictions_are_kept_and_progress_is_told() -> None:
    learning = Learning(GIVEN.head)
    bank = GIVEN.bank("test")
    info = describe(learning, [bank])
    stream = Stream(CPU, 1 << 28, 16)
    told: list[int] = []
    done = score_bank([], bank, learning, info, stream, told.append)
    assert done.predicted is not None
    assert np.array_equal(done.predicted, GIVEN.logits("test").argmax(axis=1))
    assert told == [16, 16, 16, 12]


@pytest.mark.parametrize("name", ["rmds", "rmds-pp", "wdiscood"])
def test_one_class_is_refused_where_only_rounding_would_be_scored(name: str) -> None:
    fit = GIVEN.bank("fit")
    alone = MemoryBank.of("fit", model="toy", **{**fit.tensors, "labels": torch.zeros(fit.n, dtype=torch.int64)})
    outcome = run(list(map(parse_spec, (name, "mds"))), Learning(GIVEN.head, alone), [GIVEN.bank("test")])
    assert outcome.scores.keys() == {"mds"}
    (refusal,) = outcome.refused.values()
    assert re.search("needs fit rows of at least 2 classes.*got rows of 1", refusal.reason)
    assert not refusal.failed
