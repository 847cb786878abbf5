"""All scorers of one backbone and suite: fitted together, then scored in one pass per bank."""

from __future__ import annotations

import math
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
from ood_bench.canonical import canonical_json
from ood_bench.conversation import Pass, Talk, check_unmodified, converse
from ood_bench.errors import CannotScore, OodBenchError
from ood_bench.fitting import Fitted, View, fit_spec
from ood_bench.reductions import Split
from ood_bench.requirements import missing, tensors_read
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
        if split not in ("fit", "val"):
            raise ValueError(f"a scorer may ask the fit and the val set, got {split!r}")
        bank = self.fit if split == "fit" else self.val
        if bank is None:
            raise CannotScore(f"needs the ID {split} set; {REMEDIES[split]}")
        return bank

    def copied(self) -> Learning:
        """The same with a head of its own, for a reader who may write into it."""
        head = self.head
        return self if head is None else replace(self, head=Head(head.weight.clone(), head.bias.clone()))

    @property
    def head_versions(self) -> tuple[int, ...]:
        """Changes when the head is written to."""
        return () if self.head is None else (self.head.weight._version, self.head.bias._version)


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
    """Fit every (resolved) spec. Ours advance together, one streamed pass per round; a plug-in's is fitted by itself, on
    copies of its own, so that whatever it does stays with it. One failure never loses the others."""
    ours, others = _by_trust(dict.fromkeys(specs))
    parts = [_fit_together(ours, learning, info, stream.for_readers(trusted=True))]
    parts += [_fit_alone(spec, learning.copied(), info, stream.for_readers(trusted=False)) for spec in others]
    return Fits(
        {spec: one for part in parts for spec, one in part.fitted.items()},
        {spec: refusal for part in parts for spec, refusal in part.refused.items()},
        tuple(done for part in parts for done in part.passes),
    )


def score_bank(
    fitted: Sequence[Fitted],
    bank: Bank,
    learning: Learning,
    info: Info,
    stream: Stream,
    progress: Callable[[int], None] = lambda rows: None,
) -> Scored:
    """Score one bank: ours in one pass, a plug-in's in one of its own. `progress` is told the rows of each batch."""
    by_spec = {one.spec: one for one in fitted}
    ours, others = _by_trust(by_spec)
    trusted = stream.for_readers(trusted=True)
    whole = _score_together([by_spec[spec] for spec in ours], bank, learning, info, trusted, progress)
    for spec in others:
        try:
            alone = stream.for_readers(trusted=False)
            part = _score_together([by_spec[spec]], bank, learning.copied(), info, alone, lambda rows: None)
        except (Exception, SystemExit) as failure:  # whatever a plug-in does, the others go on
            whole.refused[spec] = _refusal(failure)
        else:
            whole.scores.update(part.scores)
            whole.refused.update(part.refused)
    return whole


def _fit_together(specs: Iterable[Spec], learning: Learning, info: Info, stream: Stream) -> Fits:
    refused: dict[Spec, Refusal] = {}
    talks: dict[Spec, Talk] = {}
    views: dict[View, Any] = {}
    head = None if learning.head is None else learning.head.to(stream.device)
    for spec in specs:
        reason = missing(spec, info, learning)
        if reason is not None:
            refused[spec] = Refusal(reason, failed=False)
        else:
            talks[spec] = Talk(str(spec), fit_spec(spec, head, info, views))

    feeds: dict[Split, Feed] = {}

    def source(split: Split) -> Iterable[Batch]:
        if split not in feeds:
            feeds[split] = Feed(stream, learning.bank(split), learning.head, info.n_classes, tensors_read(talks))
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


def _fit_alone(spec: Spec, learning: Learning, info: Info, stream: Stream) -> Fits:
    """A plug-in's fit. Its own head is looked at afterwards, and what it says it learned must be plain values."""
    versions = learning.head_versions
    try:
        fits = _fit_together([spec], learning, info, stream)
        check_unmodified(["the head"] if learning.head_versions != versions else [])
        for one in fits.fitted.values():
            canonical_json(one.learned)
    except (Exception, SystemExit) as failure:  # whatever a plug-in does, the others go on
        return Fits({}, {spec: _refusal(failure)}, ())
    return fits


def _score_together(
    fitted: Sequence[Fitted],
    bank: Bank,
    learning: Learning,
    info: Info,
    stream: Stream,
    progress: Callable[[int], None],
) -> Scored:
    board = _Board(fitted, bank, info)
    shared_seconds: dict[str, float] = defaultdict(float)
    with torch.no_grad():
        searches = Searches.of(board.alive, learning.bank, learning.head, info, stream)
        rows, together = stream.rows_for(bank), searches.rows_read(bank, stream)
        names = tensors_read(one.spec for one in fitted)
        for whole in stream.batches(bank, learning.head, info.n_classes, together, names):
            for first in range(0, whole.n, rows):
                batch = _part(whole, first, rows, board.alive, info, searches)
                board.watch(batch)
                for one in list(board.alive):
                    board.score(one, batch)
                progress(batch.n)
            for name, seconds in whole.seconds.items():
                shared_seconds[name] += seconds
        board.finish()
    predicted = None if board.predicted is None else board.predicted.cpu().numpy()
    return Scored(board.scores, board.refused, predicted, dict(shared_seconds))


def _by_trust(specs: Iterable[Spec]) -> tuple[list[Spec], list[Spec]]:
    """Ours, which are tested to modify nothing, and the others."""
    ours = [spec for spec in specs if spec.origin == "ours"]
    return ours, [spec for spec in specs if spec.origin != "ours"]


class _Board:
    """What has been scored so far: one array per scorer, and who dropped out why."""

    def __init__(self, fitted: Sequence[Fitted], bank: Bank, info: Info) -> None:
        self.bank, self.info = bank, info
        self.alive = list(fitted)
        self.values: dict[Spec, Tensor] = {}
        self.seconds: dict[Spec, float] = defaultdict(float)
        self.predicted: Tensor | None = None
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
            self.predicted = self._filled(self.predicted, batch, batch.predicted)
        if any(NON_NEGATIVE in one.spec.assumes for one in self.alive):
            lowest = batch.features.min()
            self.lowest_feature = lowest if self.lowest_feature is None else torch.minimum(self.lowest_feature, lowest)

    def score(self, one: Fitted, batch: Batch) -> None:
        """Let one scorer score the batch; it drops out where it fails or modifies what it was given."""
        shared_before = sum(batch.seconds.values())
        started = time.perf_counter()
        try:
            scores: Any = one.score(batch)  # a plug-in may return anything
            if not isinstance(scores, Tensor) or scores.shape != (batch.n,):
                found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
                raise ValueError(
                    f"`score` should return one number per row, a tensor of shape ({batch.n},), got {found}"
                )
            check_unmodified(batch.modified())
        except Exception as failure:  # one scorer's failure must not lose the others: it is kept and reported
            self._drop(one, _refusal(failure))
            return
        spent = time.perf_counter() - started - (sum(batch.seconds.values()) - shared_before)
        self.seconds[one.spec] += max(spent, 0.0)
        wide = scores if scores.dtype == torch.float64 else scores.float()
        self.values[one.spec] = self._filled(self.values.get(one.spec), batch, wide)

    def _filled(self, all_rows: Tensor | None, batch: Batch, rows: Tensor) -> Tensor:
        """One array for the whole bank, made for its first rows. Small tensors kept from each batch would lie between the
        large ones that come and go, and memory would grow with the bank."""
        if all_rows is None:
            missing = math.nan if rows.is_floating_point() else -1  # a row that never comes is seen, not made up
            all_rows = rows.new_full((self.bank.n,), missing)
        elif all_rows.dtype != rows.dtype:
            all_rows = all_rows.to(torch.promote_types(all_rows.dtype, rows.dtype))
        all_rows[batch.start : batch.start + batch.n] = rows
        return all_rows

    def finish(self) -> None:
        for one in list(self.alive):
            values = self.values[one.spec].cpu().numpy()
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


def _refusal(error: BaseException) -> Refusal:
    if isinstance(error, SystemExit):
        return Refusal("it asked the program to exit", failed=True)
    if isinstance(error, CannotScore):
        return Refusal(str(error), failed=False)
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return Refusal("ran out of memory; try a smaller --memory, or --device cpu", failed=True)
    if isinstance(error, OodBenchError):
        return Refusal(str(error), failed=True)
    return Refusal(f"{type(error).__name__}: {error}", failed=True)
