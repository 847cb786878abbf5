"""From a spec to a fitted scorer: one conversation that fits its rectifiers in turn, then the scorer behind them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.columns import features, labels, logits
from ood_bench.conversation import Ask
from ood_bench.errors import CannotScore
from ood_bench.parameters import Scalar, values_of
from ood_bench.reductions import Collect, Question, Split
from ood_bench.registry import fit_arguments
from ood_bench.specs import Part, Spec
from ood_bench.types import HEAD, REMEDIES, Head, Info


@dataclass(frozen=True, slots=True)
class View:
    """Fitted rectifiers that a scorer looks through, outermost first. Equal keys mean equal rectified batches."""

    key: tuple[str, ...] = ()
    rectifiers: tuple[Any, ...] = field(default=(), compare=False)

    def of(self, batch: Batch) -> Batch:
        """The batch as the scorer behind sees it; computed once per batch for all scorers with this view."""
        if not self.key:
            return batch
        before = View(self.key[:-1], self.rectifiers[:-1])
        rectify: Callable[[Batch], Batch] = self.rectifiers[-1].rectify
        return batch.once(("view", self.key), lambda: rectify(before.of(batch)))

    def of_head(self, head: Head | None) -> Head | None:
        """The head as the scorer behind sees it."""
        for rectifier in self.rectifiers:
            if head is not None and hasattr(rectifier, "rectify_head"):
                head = rectifier.rectify_head(head)
        return head

    def behind(self, part_key: str, fitted: Any) -> View:
        return View((*self.key, part_key), (*self.rectifiers, fitted))


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the engine hears it: through a view, of the bank the spec learns from."""

    question: Question[Any, Any]
    split: Split
    view: View

    def add(self, partial: Any, batch: Batch) -> Any:
        return self.question.add(partial, self.view.of(batch))

    def merge(self, a: Any, b: Any) -> Any:
        return self.question.merge(a, b)

    def result(self, partial: Any) -> Any:
        return self.question.result(partial)


@dataclass(frozen=True)
class Fitted:
    """A scorer ready to score: a value of tensors behind a view, and what the fit chose."""

    spec: Spec
    view: View
    scorer: Any
    seconds: float = 0.0

    @property
    def learned(self) -> dict[str, Scalar]:
        """Values that the fit chose and a record keeps (a branch, a temperature, a threshold)."""
        learned = getattr(self.scorer, "learned", None)
        return dict(learned()) if callable(learned) else {}

    @property
    def neighbours(self) -> tuple[Any, ...]:
        return tuple(getattr(self.scorer, "neighbours", ()))

    def wants_top(self, n_classes: int) -> int:
        """How many of the largest logits the scorer reads; 0 for none."""
        wants = getattr(self.scorer, "wants_top", None)
        return int(wants(n_classes)) if wants else 0

    def score(self, batch: Batch) -> Tensor:
        """One number per row of a plain batch, higher = more in-distribution."""
        seen = self.view.of(batch)
        score: Callable[[Batch], Tensor] = self.scorer.score
        return score(seen.double if self.spec.scorer.entry.precision == "float64" else seen)


def fit_spec(spec: Spec, head: Head | None, info: Info, fitted_views: dict[View, Any]) -> Generator[Ask, Any, Fitted]:
    """The whole conversation of a spec. `fitted_views` lets specs that begin alike share their rectifiers' fits."""
    view = View()
    for part in spec.rectifiers:
        fitted = yield from _through(view, spec.fit_split, fit_part(part, view.of_head(head), info))
        key = f"{part}|{values_of(part.instance)}|{spec.fit_split}"
        reached = view.behind(key, fitted)
        view = view.behind(key, fitted_views.setdefault(reached, fitted))
    scorer = yield from _through(view, spec.fit_split, fit_part(spec.scorer, view.of_head(head), info))
    if not callable(getattr(scorer, "score", None)):
        name = type(spec.scorer.instance).__qualname__
        raise TypeError(f"{name}.fit should return an object with `score(batch)`, got {type(scorer).__name__}")
    return Fitted(spec, view, scorer)


def fit_part(part: Part, head: Head | None, info: Info) -> Generator[Ask, Any, Any]:
    """The conversation of one scorer, rectifier or estimator: its own generator, or its plain `fit` on whole tensors."""
    instance = part.instance
    wanted = fit_arguments(type(instance))
    if not hasattr(instance, "fit"):
        return instance
    arguments: dict[str, Any] = {}
    if "head" in wanted:
        optional = inspect.signature(type(instance).fit).parameters["head"].default is None
        if head is None and not optional:
            raise CannotScore(f"needs head: {REMEDIES[HEAD]}")
        arguments["head"] = head
    if "info" in wanted:
        arguments["info"] = info
    for split in ("train", "val"):
        if split in wanted:
            arguments[split] = yield from _whole("fit" if split == "train" else "val", info)
    answer = instance.fit(**arguments)
    if inspect.isgenerator(answer):
        answer = yield from answer
    return answer


@dataclass(frozen=True)
class Rows:
    """A whole split in memory, for a researcher's plain `fit(self, train, head)`."""

    features: Tensor | None
    logits: Tensor | None
    labels: Tensor | None


def _whole(split: Split, info: Info) -> Generator[Ask, Any, Rows]:
    columns: Mapping[str, Callable[[Batch], Tensor]] = {"features": features, "logits": logits, "labels": labels}
    there = [name for name in columns if name in info.has or name == "labels"]
    answers = yield tuple(Collect(columns[name], split) for name in there)
    found = dict(zip(there, answers, strict=True))
    return Rows(*(found.get(field.name) for field in dataclasses.fields(Rows)))


def _through(view: View, fit_split: Split, inner: Generator[Ask, Any, Any]) -> Generator[Ask, Any, Any]:
    """The inner conversation with every question asked through the view, and of `val` where the spec learns from it."""

    def asked(question: Question[Any, Any]) -> Asked:
        return Asked(question, fit_split if question.split == "fit" else question.split, view)

    answer, error = None, None
    while True:
        try:
            ask = inner.send(answer) if error is None else inner.throw(error)
        except StopIteration as stop:
            return stop.value
        try:
            answer = yield tuple(map(asked, ask)) if isinstance(ask, tuple) else asked(ask)
            error = None
        except Exception as failure:  # handed to the scorer, which may know what to do
            error = failure
