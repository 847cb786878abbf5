"""All scorers of one backbone and suite: fitted together, then scored in one pass per bank."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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
from ood_bench.reductions import Split
from ood_bench.requirements import missing
from ood_bench.searches import Searches
from ood_bench.specs import Spec
from ood_bench.stream import Feed, Stream
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
    stream = stream.for_readers(trusted=_are_ours(specs))
    for spec in dict.fromkeys(specs):
        reason = missing(spec, info, learning)
        if reason is not None:
            refused[spec] = Refusal(reason, failed=False)
        else:
            talks[spec] = Talk(str(spec), fit_spec(spec, head, info, views))

    feeds: dict[Split, Feed] = {}

    def source(split: Split) -> Iterable[Batch]:
        if split not in feeds:
            feeds[split] = Feed(stream, learning.bank(split), learning.head, info.n_classes)
        return feeds[split]

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
    stream = stream.for_readers(trusted=_are_ours([one.spec for one in fitted]))
    shared_seconds: dict[str, float] = defaultdict(float)
    with torch.no_grad():
        searches = Searches.of(board.alive, learning.bank, learning.head, info, stream)
        rows, together = stream.rows_for(bank), searches.rows_read(bank, stream)
        for whole in stream.batches(bank, learning.head, info.n_classes, together):
            for first in range(0, whole.n, rows):
                batch = _part(whole, first, rows, board.alive, info, searches)
                board.watch(batch)
                for one in list(board.alive):
                    if not board.score(one, batch):  # it modified its input: the others get these rows anew
                        batches = stream.batches(bank, learning.head, info.n_classes, together)
                        whole = next(other for other in batches if other.start == whole.start)
                        batch = _part(whole, first, rows, board.alive, info, searches)
                progress(batch.n)
            for name, seconds in whole.seconds.items():
                shared_seconds[name] += seconds
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
        self.lowest_feature: Tensor | None = None
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
            lowest = batch.features.min()
            self.lowest_feature = lowest if self.lowest_feature is None else torch.minimum(self.lowest_feature, lowest)

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
        is_view = wide.untyped_storage().nbytes() > wide.nbytes
        self.parts[one.spec].append(wide.clone() if is_view else wide)  # a view would keep all of its batch
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
        if NON_NEGATIVE in spec.assumes and self.lowest_feature is not None and self.lowest_feature < 0:
            yield f"assumes non-negative features, but the smallest is {float(self.lowest_feature):.3g}"

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


def _part(
    whole: Batch,
    first: int,
    rows: int,
    fitted: Sequence[Fitted],
    info: Info,
    searches: Searches,
) -> Batch:
    """Some rows of what was read. They know (as each view sees them) how many sorted logits will be wanted, and whom to
    ask for neighbours: a search of all that was read, done when first asked for."""
    batch = whole.rows(first, first + rows)
    for view in dict.fromkeys(one.view for one in fitted):
        behind = [one for one in fitted if one.view == view]
        for precision in ("float32", "float64"):
            wanted = [
                one.wants_top(info.n_classes or 0) for one in behind if one.spec.scorer.entry.precision == precision
            ]
            if not any(wanted) and view not in searches.by_view:
                continue
            try:
                seen = view.of(batch)
            except Exception:  # the rectifier refuses this batch; each scorer behind it will meet and report the same
                continue
            seen = seen.double if precision == "float64" and any(wanted) else seen
            seen.expect_top(max(wanted, default=0))
            if view in searches.by_view:
                seen.answered_by(searches.answers(view, whole, slice(first, first + rows)))
    return batch


def _are_ours(specs: Iterable[Spec]) -> bool:
    return all(spec.origin == "ours" for spec in specs)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, CannotScore):
        return Refusal(str(error), failed=False)
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return Refusal("ran out of memory; try a smaller --memory, or --device cpu", failed=True)
    if isinstance(error, OodBenchError):
        return Refusal(str(error), failed=True)
    return Refusal(f"{type(error).__name__}: {error}", failed=True)
