"""A batch of rows with the intermediates that scorers share: each is computed when first asked for, and once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ood_bench.errors import CannotScore
from ood_bench.selection import argmax, largest
from ood_bench.types import Head

T = TypeVar("T")


class shared(Generic[T]):  # used as a decorator, like property
    """A cached attribute whose own seconds go to the batch's ledger, so that no scorer is charged for what all share."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, batch: None, owner: type) -> shared[T]: ...
    @overload
    def __get__(self, batch: Batch, owner: type) -> T: ...
    def __get__(self, batch: Batch | None, owner: type) -> shared[T] | T:
        if batch is None:
            return self
        return batch.once(self.name, lambda: self.compute(batch))


class Batch:
    """Rows of one bank on one device, in one floating type. Nothing in it may be modified in place.

    Scorers read `features` (n, d), `logits` (n, K), `head`, and the shared intermediates below. Fits may also read
    `labels` (n,). Asking for what the bank does not have raises CannotScore; declare it in `needs` instead.
    """

    def __init__(
        self,
        *,
        features: Float[Tensor, "n d"] | None = None,
        logits: Float[Tensor, "n K"] | None = None,
        labels: Int[Tensor, " n"] | None = None,
        head: Head | None = None,
        start: int = 0,
        extras: Mapping[str, Tensor] | None = None,
        constants: Mapping[str, Tensor] | None = None,
        n_classes: int | None = None,
        abstain_index: int | None = None,
        seconds: dict[str, float] | None = None,
        widened: bool = False,
    ) -> None:
        self._features, self._logits, self._labels = features, logits, labels
        self._widened = widened  # what is given is seen in float64, each tensor converted when first asked for
        self._head, self._n_classes = head, n_classes
        self._extras, self._constants = dict(extras or {}), dict(constants or {})
        self._memo: dict[object, Any] = {}
        self._born: list[tuple[str, Tensor, int]] = []  # every tensor given or kept, with its version then
        self._answers: Callable[[Batch, Any], Tensor] | None = None
        self.start = start
        self.abstain_index = abstain_index
        self.seconds: dict[str, float] = {} if seconds is None else seconds
        inputs: dict[str, Tensor | None] = {"features": features, "logits": logits, "labels": labels}
        inputs |= self._extras | self._constants
        if head is not None:
            inputs |= {"head.weight": head.weight, "head.bias": head.bias}
        self._born += [(name, tensor, tensor._version) for name, tensor in inputs.items() if tensor is not None]

    # -- what the bank has ------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        given = next(tensor for tensor in (self._features, self._logits, *self._extras.values()) if tensor is not None)
        return given.shape[0]

    @property
    def device(self) -> torch.device:
        given = next(tensor for tensor in (self._features, self._logits, *self._extras.values()) if tensor is not None)
        return given.device

    @property
    def n_classes(self) -> int:
        """K: of the logits, the head, or the labels of the fit set, whichever is there."""
        if self._logits is not None:
            return self._logits.shape[1]
        return self._head.n_classes if self._head is not None else _given(self._n_classes, "logits")

    @property
    def features(self) -> Float[Tensor, "n d"]:
        """Penultimate features."""
        return self._seen("double features", _given(self._features, "features"))

    @property
    def logits(self) -> Float[Tensor, "n K"]:
        """Logits; where the bank or a rectifier left them out, features @ W.T + b."""
        if self._logits is not None:
            return self._seen("double logits", self._logits)
        return self.once("logits", lambda: self.head.logits(self.features))

    @property
    def labels(self) -> Int[Tensor, " n"]:
        """Class numbers; -1 = none."""
        return _given(self._labels, "labels")

    @property
    def head(self) -> Head:
        """The last linear layer, in the batch's floating type."""
        head = _given(self._head, "head")
        return head.double if self._widened else head

    def extra(self, name: str) -> Tensor:
        """An optional tensor of the bank by its fixed name: `members` (n, M, K), `local_features` (n, P, d), ..."""
        return self._seen(f"double {name}", _given(self._extras.get(name), name))

    def constant(self, name: str) -> Tensor:
        """A tensor that all rows share, by its fixed name: `text_features` (K, d), ..."""
        return self._seen(("constant", name), _given(self._constants.get(name), name))

    # -- shared intermediates of the logits -------------------------------------------------------------------------

    @shared
    def max_logit(self) -> Float[Tensor, " n"]:
        """The largest logit."""
        return self.logits.gather(1, self.predicted[:, None]).squeeze(1)  # one read of the logits answers both

    @shared
    def predicted(self) -> Int[Tensor, " n"]:
        """The class of the largest logit; the first one where several are equal."""
        return argmax(self.logits)

    @shared
    def others(self) -> Float[Tensor, "n K"]:
        """Softmax of the logits with the predicted class set to 0: what is left beside the winner."""
        return self._softmax[0]

    @shared
    def confidence(self) -> Float[Tensor, " n"]:
        """The largest softmax probability."""
        return self._softmax[1]

    @shared
    def others_sum(self) -> Float[Tensor, " n"]:
        """Sum of `others`: 1 - p_max, without its cancellation."""
        return self.others.sum(dim=1)

    @shared
    def odds(self) -> Float[Tensor, " n"]:
        """(1 - p_max) / p_max = sum over the others of exp(z_j - z_max), without the cancellation of 1 - p_max."""
        return self.others_sum / self.confidence

    @shared
    def logsumexp(self) -> Float[Tensor, " n"]:
        """log sum_j exp(z_j)."""
        return self.max_logit + self.odds.log1p()

    @shared
    def log_confidence(self) -> Float[Tensor, " n"]:
        """Log of the largest softmax probability, -log1p(odds): distinct where the probability itself rounds to 1."""
        return -self.odds.log1p()

    @shared
    def probabilities(self) -> Float[Tensor, "n K"]:
        """Softmax of the logits."""
        return self.others.scatter(1, self.predicted[:, None], self.confidence[:, None])

    @property
    def _softmax(self) -> tuple[Tensor, Tensor]:
        return self.once("softmax", lambda: beside_winner(self.logits, self.predicted))

    @shared
    def mean_logit(self) -> Float[Tensor, " n"]:
        """Mean over the classes."""
        return self.logits.mean(dim=1)

    def top(self, count: int) -> Float[Tensor, "n count"]:
        """The `count` largest logits in falling order. The largest selection asked for so far serves smaller ones."""
        held: Tensor | None = self._memo.get("top")
        if held is None or held.shape[1] < count:
            count_held = max(count, self._memo.get("top wanted", 0))
            self._memo.pop("top", None)
            held = self.once("top", lambda: largest(self.logits, min(count_held, self.logits.shape[1])))
        return held[:, :count]

    def expect_top(self, count: int) -> None:
        """Say before the first `top` how many will be wanted at most, so that one selection serves all."""
        self._memo["top wanted"] = max(count, self._memo.get("top wanted", 0))

    # -- shared intermediates of the features -----------------------------------------------------------------------

    @shared
    def feature_norm(self) -> Float[Tensor, " n"]:
        """Euclidean length of the features."""
        norm: Tensor = torch.linalg.vector_norm(self.features, dim=1)
        return norm

    @shared
    def unit_features(self) -> Float[Tensor, "n d"]:
        """Features divided by their length; a zero row stays zero."""
        return self.features / self.feature_norm.clamp_min(torch.finfo(self.features.dtype).tiny)[:, None]

    def top_features(self, count: int) -> Float[Tensor, "n count"]:
        """The `count` largest features of each row in falling order.

        From one sort of all: of features with many zeros it takes a third of a partial selection.
        """
        return self.once("sorted features", lambda: largest(self.features, self.features.shape[1]))[:, :count]

    # -- derived batches --------------------------------------------------------------------------------------------

    @property
    def double(self) -> Batch:
        """The same rows in float64, with intermediates of their own; the batch itself where it is float64 already."""
        floating = next((given for given in (self._features, self._logits) if given is not None), None)
        if self._widened or (floating is not None and floating.dtype == torch.float64):
            return self

        def widen() -> Batch:
            wide = self._derived(widened=True)
            if self._logits is not None and "predicted" in self._memo:  # the same numbers; no way back to this batch,
                wide._memo["predicted"] = self._memo["predicted"]  # so that both go when the last reader does
            return wide

        return self.once("double", widen)

    def replace(
        self,
        *,
        features: Float[Tensor, "n d"] | None = None,
        logits: Float[Tensor, "n K"] | None = None,
        head: Head | None = None,
    ) -> Batch:
        """What a rectifier returns: these rows with other features, logits or head. Logits not given follow anew."""
        return self._derived(
            features=self._features if features is None else features,
            logits=logits,
            head=self._head if head is None else head,
            widened=self._widened,
        )

    def rows(self, start: int, stop: int) -> Batch:
        """Some of these rows, with intermediates that were computed already sliced along."""
        part = self._derived(
            features=None if self._features is None else self._features[start:stop],
            logits=None if self._logits is None else self._logits[start:stop],
            labels=None if self._labels is None else self._labels[start:stop],
            extras={name: tensor[start:stop] for name, tensor in self._extras.items()},
            start=self.start + start,
            widened=self._widened,
        )
        for key, value in self._memo.items():
            if isinstance(key, str) and isinstance(value, Tensor):
                part._memo[key] = value[start:stop]
        return part

    def _derived(self, **changed: Any) -> Batch:
        """A batch of these rows, as they are stored but for what is changed, on the same ledger of seconds."""
        given: dict[str, Any] = {
            "features": self._features,
            "logits": self._logits,
            "labels": self._labels,
            "head": self._head,
            "start": self.start,
            "extras": self._extras,
            "constants": self._constants,
            "n_classes": self._n_classes,
            "abstain_index": self.abstain_index,
            "seconds": self.seconds,
        }
        return Batch(**given | changed)

    # -- mechanism --------------------------------------------------------------------------------------------------

    def _seen(self, key: object, given: Tensor) -> Tensor:
        """A given tensor in this batch's floating type."""
        if not self._widened or not given.is_floating_point() or given.dtype == torch.float64:
            return given
        return self.once(key, given.double)

    def once(self, key: object, compute: Callable[[], T]) -> T:
        """`compute()` the first time `key` is asked for, the same value ever after: shared work between scorers."""
        try:
            return self._memo[key]  # type: ignore[no-any-return]  # the memo holds what compute returned
        except KeyError:
            pass
        started, inner = time.perf_counter(), sum(self.seconds.values())
        value = compute()
        spent = time.perf_counter() - started - (sum(self.seconds.values()) - inner)
        name = str(key)
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        self._memo[key] = value
        if isinstance(value, Tensor):
            self._born.append((name, value, value._version))
        return value

    def answer(self, question: Any) -> Tensor:
        """What the fit bank's rows answer to a neighbour question, for each row of this batch."""
        if self._answers is None:
            raise CannotScore("this batch has no fit rows beside it; list the question in the scorer's `neighbours`")
        answers = self._answers
        return self.once(question, lambda: answers(self, question))

    def answered_by(self, answers: Callable[[Batch, Any], Tensor]) -> Batch:
        """This batch, with `answers` as the source of `answer`; the engine's part of a neighbour search."""
        self._answers = answers
        return self

    def held(self) -> dict[object, Tensor]:
        """Every tensor held now, inputs and intermediates."""
        tensors: dict[object, Tensor] = {key: value for key, value in self._memo.items() if isinstance(value, Tensor)}
        inputs = {"features": self._features, "logits": self._logits, "labels": self._labels}
        inputs |= self._extras | self._constants
        tensors.update({f"input {name}": value for name, value in inputs.items() if value is not None})
        return tensors

    def modified(self) -> list[str]:
        """Names of tensors that were written to since this batch had them: inputs, intermediates, the head.

        Nobody may do that, since all scorers share them. Writes through `.numpy()` leave no trace and are not seen.
        """
        mine = [name for name, tensor, version in self._born if tensor._version != version]
        nested = (value for value in self._memo.values() if isinstance(value, Batch))
        return sorted({*mine, *(name for batch in nested for name in batch.modified())})


def beside_winner(
    logits: Float[Tensor, "n K"], winner: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "n K"], Float[Tensor, " n"]]:
    """Softmax with the winner's entry set to 0, and that entry. The sum of the first is 1 - p_max without cancellation."""
    p = torch.softmax(logits, dim=1)  # one fused kernel, in less than torch.logsumexp takes
    place = winner[:, None]
    confidence = p.gather(1, place).squeeze(1)
    return p.scatter_(1, place, 0.0), confidence


def _given(value: T | None, name: str) -> T:
    if value is None:
        raise CannotScore(f"the bank has no {name}; a scorer that reads them names {name!r} in `needs`")
    return value
