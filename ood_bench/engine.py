"""All scorers of one backbone and suite: fitted together, then scored in one pass per bank."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.bank.base import Bank
from ood_bench.batch import Batch
from ood_bench.conversation import Pass, Talk, converse
from ood_bench.errors import CannotScore, OodBenchError
from ood_bench.fitting import Fitted, View, fit_spec
from ood_bench.neighbours import Searcher
from ood_bench.reductions import Split
from ood_bench.requirements import missing
from ood_bench.specs import Spec
from ood_bench.stream import Stream
from ood_bench.types import FEATURES, HEAD, LOGITS, REMEDIES, Head, Info

# The one condition that scorers assume so far; `assumes` names it and the engine watches it on every scored bank.
NON_NEGATIVE = "non-negative-features"


@dataclass(frozen=True, slots=True)
class Learning:
    """What scorers learn from: the head and the ID fit and validation banks, each of which may be missing."""

    head: Head | None = None
    fit: Bank | None = None
    val: Bank | None = None

    def bank(self, split: Split) -> Bank:
        bank = {"fit": self.fit, "val": self.val}.get(split)
        if bank is None:
            raise CannotScore(f"needs the ID {split} set; {REMEDIES[split]}")
        return bank


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a cell cannot be filled. `failed` means that the scorer broke; otherwise it was skipped for cause."""

    reason: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one scorer for one bank."""

    values: Float[np.ndarray, " n"]
    seconds: float
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """What came of one pass over a bank: scores, refusals, predicted classes, seconds of what scorers shared."""

    scores: dict[Spec, Scores]
    refused: dict[Spec, Refusal]
    predicted: Int[np.ndarray, " n"] | None
    shared_seconds: dict[str, float]


@dataclass(frozen=True)
class Fits:
    """What came of fitting: fitted scorers, refusals, and the shared passes."""

    fitted: dict[Spec, Fitted]
    refused: dict[Spec, Refusal]
    passes: tuple[Pass, ...]


def fit_all(specs: Sequence[Spec], learning: Learning, info: Info, stream: Stream) -> Fits:
    """Fit every (resolved) spec; all advance together, one streamed pass per round. One failure never loses the others."""
    refused: dict[Spec, Refusal] = {}
    talks: dict[Spec, Talk] = {}
    views: dict[View, Any] = {}
    head = None if learning.head is None else learning.head.to(stream.device)
    for spec in dict.fromkeys(specs):
        reason = missing(spec, info, learning)
        if reason is not None:
            refused[spec] = Refusal(reason, failed=False)
        else:
            talks[spec] = Talk(str(spec), fit_spec(spec, head, info, views))

    def source(split: Split) -> Iterable[Batch]:
        return stream.batches(learning.bank(split), learning.head, info.n_classes)

    with torch.no_grad():
        passes = converse(list(talks.values()), source)
    fitted: dict[Spec, Fitted] = {}
    for spec, talk in talks.items():
        if talk.error is not None:
            refused[spec] = _refusal(talk.error)
        else:
            fitted[spec] = replace(talk.value, seconds=talk.seconds)
    return Fits(fitted, refused, tuple(passes))


def score_bank(
    fitted: Sequence[Fitted],
    bank: Bank,
    learning: Learning,
    info: Info,
    stream: Stream,
    progress: Callable[[int], None] = lambda rows: None,
) -> Scored:
    """Score one bank with all fitted scorers in one pass. `progress` is told the rows of each batch when done."""
    board = _Board(fitted, bank, info)
    shared_seconds: dict[str, float] = defaultdict(float)
    with torch.no_grad():
        searchers = _searchers(board.alive, learning, info, stream)
        for batch in stream.batches(bank, learning.head, info.n_classes):
            _prepare(batch, board.alive, info, searchers)
            board.watch(batch)
            for one in list(board.alive):
                if not board.score(one, batch):  # it modified its input: the others get these rows anew
                    batch = _again(batch, bank, learning, info, stream)
                    _prepare(batch, board.alive, info, searchers)
            for name, seconds in batch.seconds.items():
                shared_seconds[name] += seconds
            progress(batch.n)
        board.finish()
    predicted = torch.cat(board.predicted).cpu().numpy() if board.predicted else None
    return Scored(board.scores, board.refused, predicted, dict(shared_seconds))


class _Board:
    """What has been scored so far: one array per scorer, and who dropped out why."""

    def __init__(self, fitted: Sequence[Fitted], bank: Bank, info: Info) -> None:
        self.bank, self.info = bank, info
        self.alive = list(fitted)
        self.parts: dict[Spec, list[Tensor]] = {one.spec: [] for one in fitted}
        self.seconds: dict[Spec, float] = defaultdict(float)
        self.predicted: list[Tensor] = []
        self.lowest_feature = 0.0
        self.scores: dict[Spec, Scores] = {}
        self.refused: dict[Spec, Refusal] = {}
        for one in fitted:
            reason = self._lacks(one.spec)
            if reason is not None:
                self._drop(one, Refusal(reason, failed=False))

    def watch(self, batch: Batch) -> None:
        """Keep the predicted classes, and look at the condition that some scorer assumes."""
        if "logits" in self.bank.inputs:
            self.predicted.append(batch.predicted)
        if any(NON_NEGATIVE in one.spec.assumes for one in self.alive):
            self.lowest_feature = min(self.lowest_feature, float(batch.features.min()))

    def score(self, one: Fitted, batch: Batch) -> bool:
        """Let one scorer score the batch; False when it modified what it was given."""
        before = {key: (tensor, tensor._version) for key, tensor in batch.held().items()}
        shared_before = sum(batch.seconds.values())
        started = time.perf_counter()
        try:
            scores = one.score(batch)
            if scores.shape != (batch.n,):
                raise ValueError(
                    f"`score` should return one number per row, shape ({batch.n},), got {tuple(scores.shape)}"
                )
        except Exception as failure:  # one scorer's failure must not lose the others: it is kept and reported
            self._drop(one, _refusal(failure))
            return all(tensor._version == version for tensor, version in before.values())
        spent = time.perf_counter() - started - (sum(batch.seconds.values()) - shared_before)
        self.seconds[one.spec] += max(spent, 0.0)
        changed = sorted(str(key) for key, (tensor, version) in before.items() if tensor._version != version)
        if changed:
            self._drop(one, Refusal(f"it modified {', '.join(changed)} in place; work on a copy (clone)", failed=True))
            return False
        wide = scores if scores.dtype == torch.float64 else scores.float()
        self.parts[one.spec].append(wide)
        return True

    def finish(self) -> None:
        for one in list(self.alive):
            values = torch.cat(self.parts[one.spec]).cpu().numpy()
            bad = ~np.isfinite(values)
            if bad.any():
                row = int(bad.argmax())
                self._drop(
                    one,
                    Refusal(
                        f"{one.spec} gave {values[row]} for row {row} ({self.bank.ids[row]}) of {self.bank.set} with "
                        f"{self.bank.model} ({int(bad.sum())} of {len(values)} scores are not finite)",
                        failed=True,
                    ),
                )
                continue
            self.scores[one.spec] = Scores(values, self.seconds[one.spec], tuple(self._marks(one.spec, values)))

    def _marks(self, spec: Spec, values: Float[np.ndarray, " n"]) -> Iterable[str]:
        if len(values) > 1 and values.min() == values.max():
            yield f"constant on {self.bank.set}"
        if NON_NEGATIVE in spec.assumes and self.lowest_feature < 0:
            yield f"assumes non-negative features, but the smallest is {self.lowest_feature:.3g}"

    def _lacks(self, spec: Spec) -> str | None:
        for need in spec.needs:
            if need in (FEATURES, LOGITS) and need not in self.bank.inputs:
                return f"{self.bank.set} has no {need}; {REMEDIES[need]}"
        if HEAD in spec.needs and self.bank.head_refused is not None:
            return self.bank.head_refused
        return None

    def _drop(self, one: Fitted, refusal: Refusal) -> None:
        self.refused[one.spec] = refusal
        self.alive = [other for other in self.alive if other is not one]


def _prepare(
    batch: Batch, fitted: Sequence[Fitted], info: Info, searchers: Mapping[View, Callable[[Batch, Any], Tensor]]
) -> None:
    """Tell the batch (as each view sees it) how many sorted logits will be wanted, and who answers for neighbours."""
    for view in dict.fromkeys(one.view for one in fitted):
        behind = [one for one in fitted if one.view == view]
        for precision in ("float32", "float64"):
            wanted = [
                one.wants_top(info.n_classes or 0) for one in behind if one.spec.scorer.entry.precision == precision
            ]
            if not any(wanted) and view not in searchers:
                continue
            try:
                seen = view.of(batch)
            except Exception:  # the rectifier refuses this batch; each scorer behind it will meet and report the same
                continue
            seen = seen.double if precision == "float64" and any(wanted) else seen
            seen.expect_top(max(wanted, default=0))
            if view in searchers:
                seen.answered_by(searchers[view])


def _searchers(
    fitted: Sequence[Fitted], learning: Learning, info: Info, stream: Stream
) -> dict[View, Callable[[Batch, Any], Tensor]]:
    """One neighbour search per view, over the fit bank: kept on the device where it fits in the budget, else streamed."""
    asked: dict[View, dict[Split, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for one in fitted:
        if one.neighbours:
            asked[one.view][one.spec.fit_split] += one.neighbours
    return {
        view: _first_that_knows(
            [
                Searcher(
                    _fit_rows(view, learning.bank(split), learning, info, stream),
                    tuple(dict.fromkeys(questions)),
                    stream.memory // 64,
                )
                for split, questions in by_split.items()
            ]
        )
        for view, by_split in asked.items()
    }


def _first_that_knows(searchers: Sequence[Searcher]) -> Callable[[Batch, Any], Tensor]:
    """One searcher for questions to several banks: each question goes to the one that was asked it."""

    def answer(batch: Batch, question: Any) -> Tensor:
        return next(one for one in searchers if question in one.questions)(batch, question)

    return searchers[0] if len(searchers) == 1 else answer


def _fit_rows(view: View, bank: Bank, learning: Learning, info: Info, stream: Stream) -> Callable[[], Iterable[Batch]]:
    def streamed() -> Iterable[Batch]:
        return (view.of(batch) for batch in stream.batches(bank, learning.head, info.n_classes))

    resident_bytes = 3 * 4 * bank.n * ((info.n_features or 0) + (info.n_classes or 0))
    if resident_bytes > stream.memory // 2:
        return streamed
    held: list[Batch] = []

    def resident() -> Iterable[Batch]:
        if not held:
            held.extend(streamed())
        return held

    return resident


def _again(batch: Batch, bank: Bank, learning: Learning, info: Info, stream: Stream) -> Batch:
    return next(other for other in stream.batches(bank, learning.head, info.n_classes) if other.start == batch.start)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, CannotScore):
        return Refusal(str(error), failed=False)
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return Refusal("ran out of memory; try a smaller --memory, or --device cpu", failed=True)
    if isinstance(error, OodBenchError):
        return Refusal(str(error), failed=True)
    return Refusal(f"{type(error).__name__}: {error}", failed=True)
