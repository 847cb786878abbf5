"""Methods asked about banks: fitted together, then one conversation per target for all of them; answers are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ood_bench.bank.base import Bank
from ood_bench.bank.heads import head_sha256
from ood_bench.batch import Batch
from ood_bench.conversation import Talk, converse
from ood_bench.errors import CannotScore, OodBenchError
from ood_bench.material import Material
from ood_bench.reductions import Split
from ood_bench.requirements import describe
from ood_bench.runner import provenance
from ood_bench.store.store import Store
from ood_bench.stream import Stream
from ood_bench.tasks.answers import Answer, AnswerKey, Answers, Unanswered
from ood_bench.tasks.methods import Answered, Method
from ood_bench.types import FIT, FIT_LABELS, HEAD, REMEDIES, SECOND, VAL, VAL_LABELS, Info


@dataclass(frozen=True)
class Second:
    """Another checkpoint's predicted classes by target set, for methods that compare two."""

    name: str
    banks: Mapping[str, str] = field(default_factory=dict)  # set -> bank_sha256


@dataclass
class Given:
    """What came of asking: answers by their keys' hashes, and why others are not there."""

    answers: list[str] = field(default_factory=list)
    unanswered: list[Unanswered] = field(default_factory=list)


def ask_all(
    methods: Sequence[Method],
    targets: Mapping[str, Bank],
    material: Material,
    store: Store,
    stream: Stream,
    *,
    second: Second | None = None,
    recompute: bool = False,
) -> dict[str, Given]:
    """Every method about every target, by task. What is kept already is not asked again. One failure loses no other."""
    given: dict[str, Given] = {method.task: Given() for method in methods}
    if not targets:
        return given
    info = describe(material.learning, targets.values())
    asking = _Asking(material, store, stream, info, second)
    todo: dict[int, list[str]] = {}
    able: list[Method] = []
    for method in methods:
        reason = _lacks(method, info, second)
        if reason is not None:
            given[method.task].unanswered.append(Unanswered(method.spec, reason))
            continue
        try:
            method = method.resolved(info)
        except (CannotScore, AssertionError) as error:
            reason = str(error) or "needs shapes that the banks do not have"
            given[method.task].unanswered.append(Unanswered(method.spec, reason))
            continue
        keys = {name: asking.key(method, name, bank).sha256 for name, bank in targets.items()}
        kept = {name for name, key in keys.items() if not recompute and asking.answers.get(key) is not None}
        given[method.task].answers += [keys[name] for name in targets if name in kept]
        todo[len(able)] = [name for name in targets if name not in kept]
        able.append(method)
    talks = {
        index: Talk(method.spec, method.fit(asking.head, info)) for index, method in enumerate(able) if todo[index]
    }
    with torch.no_grad():
        converse(list(talks.values()), asking.learning)
        for index, talk in talks.items():
            if talk.error is not None:
                given[able[index].task].unanswered.append(_unanswered(able[index], talk.error))
        for name, bank in targets.items():
            ready = {i: t for i, t in talks.items() if t.error is None and name in todo[i]}
            conversations = {i: Talk(able[i].spec, able[i].ask(t.value, bank)) for i, t in ready.items()}
            converse(list(conversations.values()), asking.target(bank))
            for index, talk in conversations.items():
                method = able[index]
                if talk.error is not None:
                    given[method.task].unanswered.append(_unanswered(method, talk.error, name))
                else:
                    given[method.task].answers.append(asking.keep(method, name, bank, talk.value, talk.seconds))
    return given


@dataclass
class _Asking:
    """The banks that are asked, and the way of answers into the store."""

    material: Material
    store: Store
    stream: Stream
    info: Info
    second: Second | None

    def __post_init__(self) -> None:
        self.answers = Answers(self.store.home)
        head = self.material.learning.head
        self.head = None if head is None else head.to(self.stream.device)

    def learning(self, split: Split) -> Iterable[Batch]:
        return self._batches(self.material.learning.bank(split))

    def target(self, bank: Bank) -> Callable[[Split], Iterable[Batch]]:
        """The target's own batches for `target`, what is learnt from for the rest."""
        second = self._second_predictions(bank)

        def source(split: Split) -> Iterable[Batch]:
            if split != "target":
                yield from self.learning(split)
                return
            for batch in self._batches(bank):
                if second is not None:
                    rows = second[batch.start : batch.start + batch.n].to(batch.device)
                    batch.once(SECOND, lambda rows=rows: rows)  # type: ignore[misc]  # the default binds rows
                yield batch

        return source

    def key(self, method: Method, name: str, bank: Bank) -> AnswerKey:
        learning, needs = self.material.learning, set(method.needs)
        return AnswerKey(
            task=method.task,
            method=method.name,
            version=method.version,
            params=dict(method.params),
            bank_sha256=bank.sha256,
            fit_sha256=learning.fit.sha256 if learning.fit and needs & {FIT, FIT_LABELS} else None,
            val_sha256=learning.val.sha256 if learning.val and needs & {VAL, VAL_LABELS} else None,
            head_sha256=head_sha256(learning.head) if learning.head and HEAD in needs else None,
            second_sha256=self.second.banks.get(name) if self.second and SECOND in needs else None,
        )

    def keep(self, method: Method, name: str, bank: Bank, answered: Answered, seconds: float) -> str:
        key = self.key(method, name, bank)
        self.answers.put(
            Answer(
                key=key,
                spec=method.spec,
                model=self.material.model,
                model_seed=self.material.model_seed,
                set=name,
                n=bank.n,
                values=answered.values,
                provenance=provenance(self.stream.device),
                learned=answered.learned or None,
                tables=answered.tables,
                seconds=seconds,
                origin=method.origin,
                plugin_sha256=method.plugin_sha256,
            )
        )
        return key.sha256

    def _batches(self, bank: Bank) -> Iterable[Batch]:
        return self.stream.batches(bank, self.material.learning.head, self.info.n_classes)

    def _second_predictions(self, bank: Bank) -> torch.Tensor | None:
        sha256 = self.second.banks.get(bank.set) if self.second else None
        outcomes = self.store.outcomes(sha256) if sha256 else None
        if outcomes is None or len(outcomes[0]) != bank.n:
            return None
        return torch.from_numpy(outcomes[0])


def _lacks(method: Method, info: Info, second: Second | None) -> str | None:
    has = info.has | ({SECOND} if second else set())
    lacking = [need for need in method.needs if need not in has]
    return "; ".join(f"needs {need}: {REMEDIES[need]}" for need in lacking) or None


def _unanswered(method: Method, error: Exception, name: str | None = None) -> Unanswered:
    if isinstance(error, CannotScore):
        return Unanswered(method.spec, str(error), set=name)
    text = str(error) if isinstance(error, OodBenchError) else f"{type(error).__name__}: {error}"
    return Unanswered(method.spec, text, failed=True, set=name)
