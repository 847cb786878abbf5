"""What a plug-in can do wrong; every one of these fails the plug-in alone and changes nobody else's numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from support import problem
from torch import Tensor

import ood_bench
from ood_bench.batch import Batch
from ood_bench.columns import features
from ood_bench.reductions import Mean, Moments
from ood_bench.registry import load_all, scorer
from ood_bench.types import Head

load_all()
SOUND = ["msp", "energy", "vim", "knn:k=5", "mano", "dcs", "entropy", "react+vim", "mds", "react+dcs"]


def cells(specs: list[str], **options: Any) -> tuple[dict[tuple[str, str], float | None], ood_bench.Results]:
    given = problem()
    data: dict[str, Any] = {
        name: dict(zip(("features", "logits", "labels"), given.sets[name], strict=True)) for name in ("fit", "test")
    }
    data |= {"ood": {"features": given.features("ood"), "logits": given.logits("ood")}}
    results = ood_bench.evaluate(data | {"head": (given.weight, given.bias)}, specs, **options)
    return {(row.scorer, row.set): row.auroc for row in results.rows}, results


class Plain:
    def score(self, batch: Batch) -> Tensor:
        return batch.max_logit.clone()


class WantsTopRaises(Plain):
    def wants_top(self, n_classes: int) -> int:
        raise ValueError("in wants_top")


class NeighboursRaise(Plain):
    @property
    def neighbours(self) -> Any:
        raise ValueError("in neighbours")


class LearnedRaises(Plain):
    def learned(self) -> Any:
        raise ValueError("in learned")


class LearnedNaN(Plain):
    def learned(self) -> Any:
        return {"a": float("nan")}


class LearnedTensor(Plain):
    def learned(self) -> Any:
        return {"a": torch.ones(2)}


@dataclass(frozen=True)
class Modifies:
    of: str
    split: str = "fit"

    def add(self, partial: Any, batch: Batch) -> int:
        getattr(batch, self.of).mul_(2)
        return 0

    def merge(self, a: int, b: int) -> int:
        return a

    def result(self, partial: int) -> int:
        return partial


@dataclass(frozen=True)
class Unhashable(Modifies):
    of: list[int]  # type: ignore[assignment]  # the point


def _asks(question: Any) -> Callable[[Any], Any]:
    def fit(self: Any) -> Any:
        yield question
        return Plain()

    return fit


def _spoils_what_it_was_told(self: Any) -> Any:
    moments = yield Moments()
    moments.scatter.mul_(2)
    return Plain()


def _spoils_the_head(self: Any, head: Head) -> Any:
    head.weight.mul_(2)
    yield Mean(features)
    return Plain()


def _after(modify: Callable[[Batch], object]) -> Callable[[Any, Batch], Tensor]:
    def score(self: Any, batch: Batch) -> Tensor:
        mine = batch.max_logit.clone()
        modify(batch)
        return mine

    return score


BREAKERS: dict[str, dict[str, Any]] = {
    # corrupts others in silence: an intermediate that is not there before this scorer asks for it
    "fresh-intermediate": {"score": _after(lambda batch: batch.others.mul_(2))},
    "head-in-place": {"score": _after(lambda batch: batch.head.weight.mul_(2))},
    "question-modifies-features": {"fit": _asks(Modifies("features"))},
    "question-modifies-intermediate": {"fit": _asks(Modifies("max_logit"))},
    "modifies-an-answer": {"fit": _spoils_what_it_was_told},
    "modifies-the-head-in-fit": {"fit": _spoils_the_head},
    # loses everybody
    "returns-numpy": {"score": lambda self, batch: batch.max_logit.numpy().copy()},
    "wants-top-raises": {"fit": lambda self: WantsTopRaises()},
    "neighbours-raise": {"fit": lambda self: NeighboursRaise()},
    "learned-raises": {"fit": lambda self: LearnedRaises()},
    "learned-nan": {"fit": lambda self: LearnedNaN()},
    "learned-tensor": {"fit": lambda self: LearnedTensor()},
    "asks-the-target": {"fit": _asks(Mean(features, "target"))},
    "unhashable-question": {"fit": _asks(Unhashable([1]))},
}


@pytest.mark.parametrize("name", BREAKERS)
def test_a_plugin_that_breaks_loses_and_changes_nobody_else(name: str) -> None:
    cls = type("Broken", (), {"__doc__": "Breaks.", **BREAKERS[name]})
    scorer(name, needs=("logits", "features", "head", "fit"))(dataclass(frozen=True)(cls))
    sound, _ = cells(SOUND)
    found, results = cells([name, *SOUND])
    assert {cell: found.get(cell) for cell in sound} == sound
    assert {one.scorer for one in results.failed + results.skipped} == {name}


def test_the_users_own_head_is_never_modified() -> None:
    given = problem()
    weight = given.weight.copy()
    data = {"test": {"features": given.features("test")}, "ood": {"features": given.features("ood")}}
    cls = type("Broken", (), {"__doc__": "Breaks.", "score": _after(lambda batch: batch.head.weight.mul_(2))})
    scorer("head-breaker", needs=("logits", "head"))(dataclass(frozen=True)(cls))
    ood_bench.evaluate({**data, "head": (given.weight, given.bias)}, ["head-breaker", "msp"])
    assert np.array_equal(weight, given.weight)
