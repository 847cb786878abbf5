"""The contract that every scorer keeps, as rules that run: over the registry in the tests, over a user's own by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning, Refusal, fit_all, score_bank
from ood_bench.errors import CannotScore, OodBenchError
from ood_bench.metrics.ood import auroc
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream
from ood_bench.types import Head

CPU = torch.device("cpu")
MEMORY = 1 << 28


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule and what came of it. `refuses` is a clear refusal of a degenerate input, which keeps the contract."""

    rule: str
    status: Literal["holds", "refuses", "broken"]
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """A small problem: a head, and features and labels of ID fit, ID validation, ID test and outliers."""

    head: Head
    fit: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    ood: Tensor
    logits: Callable[[Tensor], Tensor] | None = None  # where they do not follow from the head

    def bank(self, name: str, features: Tensor, labels: Tensor | None, dtype: torch.dtype) -> MemoryBank:
        """A bank with everything that a scorer may need: members, patches and prompts too."""
        logits = self.head.logits(features) if self.logits is None else self.logits(features)
        wiggle = torch.linspace(-0.5, 0.5, 5, dtype=features.dtype)[None, :, None]
        return MemoryBank.of(
            name,
            model="contract",
            features=features.to(dtype),
            logits=logits.to(dtype),
            labels=labels,
            head=Head(self.head.weight.to(dtype), self.head.bias.to(dtype)),
            constants={"text_features": _unit(self.head.weight), "negative_text_features": _unit(_shifted(self.head))},
            members=(logits[:, None, :] * (1 + wiggle * _spread(logits))).to(dtype),
            local_features=_unit(features[:, None, :] + 0.2 * wiggle[:, :3].abs()).to(dtype),
        )


def easy(seed: int = 0, *, d: int = 24, k: int = 6, n_fit: int = 300, n: int = 60) -> Case:
    """ID classes are bright patterns in the first half of the features; outliers are dim ones in the second half."""
    rng = torch.Generator().manual_seed(seed)
    half = max(1, d // 2)
    centres = torch.zeros(k, d, dtype=torch.float64)
    for c in range(k):
        centres[c, [c % half, (c + 1) % half, (2 * c + 3) % half]] = 3.0 + 0.2 * c
    weight = 0.8 * (centres - centres.mean(dim=0)) + 0.02 * torch.randn(k, d, generator=rng, dtype=torch.float64)
    head = Head(weight, 0.1 * torch.randn(k, generator=rng, dtype=torch.float64))

    def rows(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % k
        noise = torch.randn(count, d, generator=rng, dtype=torch.float64)
        scale = 0.7 + 0.6 * torch.rand(count, 1, generator=rng, dtype=torch.float64)
        return (centres[labels] * scale + 0.4 * noise).clamp_min(0), labels

    ood = 0.3 * torch.randn(n, d, generator=rng, dtype=torch.float64)
    ood[:, half:] += 1.0
    fit = rows(n_fit)
    flipped = fit[1].clone()
    flipped[::25] = (flipped[::25] + 1) % k  # some labels the head gets wrong, as in any training set
    val = rows(n)
    wrong = val[1].clone()
    wrong[::10] = (wrong[::10] + 1) % k
    return Case(head, (fit[0], flipped), (val[0], wrong), rows(n), ood.clamp_min(0))


def check(name: str) -> Iterator[Verdict]:
    """Every rule of the contract for a registered scorer (or a spec), in order; a broken rule does not stop the others."""
    subject = _Subject(name)
    rules: list[tuple[str, Callable[[_Subject], str]]] = [
        ("says what it is: a docstring, and for shipped scorers a paper", _documented),
        ("one finite score per row, and not the same for all", _finite),
        ("higher = more in-distribution, on an easy problem", _sign),
        ("independent of batch size", _batches),
        ("independent of the order of rows", _order),
        ("the same fit gives the same scores", _refit),
        ("modifies nothing that it is given", _pure),
        ("float32 agrees with float64", _precision),
        ("float16 banks are scored", _half),
    ]
    for rule, run in rules:
        yield _verdict(rule, run, subject)
    for rule, case in degenerate():
        yield _verdict(f"a number or a clear refusal: {rule}", partial(_number, case), subject)


def degenerate() -> Iterator[tuple[str, Case]]:
    """Inputs at the edge, by name."""
    base = easy()
    zeros = torch.zeros_like(base.ood)
    yield "rows of zeros", replace(base, ood=zeros)
    yield "fewer fit rows than features", easy(n_fit=10)
    yield "fit rows all of zeros", replace(base, fit=(torch.zeros_like(base.fit[0]), base.fit[1]))
    absent = base.fit[1].clone()
    absent[absent == 2] = 3
    yield "a class without fit rows", replace(base, fit=(base.fit[0], absent))
    yield "a class that is never predicted", replace(base, head=Head(base.head.weight, _sunk(base.head.bias)))
    yield "two classes", easy(k=2)
    yield "one feature", easy(d=1, k=2)
    yield "logits of +-1e4", replace(base, logits=lambda x: 1e4 * base.head.logits(x).sign())
    yield "all logits equal", replace(base, logits=lambda x: torch.zeros(len(x), base.head.n_classes).to(x))
    yield "one row", replace(base, ood=base.ood[:1])


def scores_of(
    spec: str, case: Case, *, dtype: torch.dtype = torch.float64, rows: int | None = None, order: Tensor | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """Scores of ID test (in `order`) and outliers. Raises CannotScore for a refusal, RuntimeError for a failure."""
    features, labels = case.test
    if order is not None:
        features, labels = features[order], labels[order]
    learning = Learning(
        Head(case.head.weight.to(dtype), case.head.bias.to(dtype)),
        case.bank("fit", *case.fit, dtype),
        case.bank("val", *case.val, dtype),
    )
    banks = (case.bank("test", features, labels, dtype), case.bank("ood", case.ood, None, dtype))
    info = describe(learning, banks)
    stream = Stream(CPU, MEMORY, rows)
    resolved = parse_spec(spec).resolved(info)
    fits = fit_all([resolved], learning, info, stream)
    _raise(fits.refused.get(resolved))
    found = []
    for bank in banks:
        done = score_bank([fits.fitted[resolved]], bank, learning, info, stream)
        _raise(done.refused.get(resolved))
        found.append(done.scores[resolved].values)
    return found[0], found[1]


@dataclass(frozen=True)
class _Subject:
    """The scorer under the rules, and its scores of the easy problem, which most rules compare with."""

    name: str

    @cached_property
    def easy(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
        return scores_of(self.name, easy())


def _verdict(rule: str, run: Callable[[_Subject], str], subject: _Subject) -> Verdict:
    try:
        trouble = run(subject)
    except CannotScore as refusal:
        return Verdict(rule, "refuses", f"refuses: {refusal}")
    except (RuntimeError, OodBenchError) as failure:
        return Verdict(rule, "broken", str(failure))
    return Verdict(rule, "broken" if trouble else "holds", trouble)


def _documented(subject: _Subject) -> str:
    for part in parse_spec(subject.name).parts:
        if not part.entry.summary:
            return f"{part.entry.name} has no docstring"
        if part.entry.origin == "ours" and not part.entry.paper:
            return f"{part.entry.name} names no paper"
    return ""


def _finite(subject: _Subject) -> str:
    return "the score is the same for every row" if np.ptp(np.concatenate(subject.easy)) == 0 else ""


def _sign(subject: _Subject) -> str:
    found = auroc(*subject.easy)
    return "" if found > 0.5 else f"AUROC is {found:.3f}; outliers score higher than ID rows: is the sign turned?"


def _batches(subject: _Subject) -> str:
    """On fewer rows than the other rules: one at a time, a neighbour search meets every pair by itself."""
    case = easy(n_fit=96, n=15)
    whole = np.concatenate(scores_of(subject.name, case))
    for rows in (1, 7):
        trouble = _differs(whole, np.concatenate(scores_of(subject.name, case, rows=rows)), 1e-9)
        if trouble:
            return f"in batches of {rows} {trouble}"
    return ""


def _order(subject: _Subject) -> str:
    test, _ = subject.easy
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))
    return _differs(test[order.numpy()], scores_of(subject.name, easy(), order=order)[0], 1e-9)


def _refit(subject: _Subject) -> str:
    return _differs(np.concatenate(subject.easy), np.concatenate(scores_of(subject.name, easy())), 0.0)


def _pure(subject: _Subject) -> str:
    case = easy()
    kept = [tensor.clone() for tensor in (*case.fit, *case.val, *case.test, case.ood, case.head.weight, case.head.bias)]
    scores_of(subject.name, case)
    now = (*case.fit, *case.val, *case.test, case.ood, case.head.weight, case.head.bias)
    return "" if all(map(torch.equal, kept, now)) else "a tensor of the bank or head was modified"


def _precision(subject: _Subject) -> str:
    narrow = scores_of(subject.name, easy(), dtype=torch.float32)
    return _differs(np.concatenate(subject.easy), np.concatenate(narrow), 2e-4)


def _half(subject: _Subject) -> str:
    scores_of(subject.name, easy(), dtype=torch.float16)
    return ""


def _number(case: Case, subject: _Subject) -> str:
    scores_of(subject.name, case)
    return ""


def _differs(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"], tolerance: float) -> str:
    """Empty where the two agree relative to the larger of a score and the scores' scale."""
    scale = np.maximum(np.abs(a), np.sqrt(np.mean(np.square(a, dtype=np.float64)))) + np.finfo(np.float64).tiny
    worst = float(np.max(np.abs(a - b) / scale))
    return "" if worst <= tolerance else f"scores differ by up to {worst:.1e} of their size, allowed {tolerance:.0e}"


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise RuntimeError(refusal.reason) if refusal.failed else CannotScore(refusal.reason)


def _unit(rows: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    return rows / rows.square().sum(dim=-1, keepdim=True).sqrt().clamp_min(1e-12)


def _shifted(head: Head) -> Float[Tensor, "m d"]:
    """Prompts of things that are not there: bright where outliers are."""
    rows = torch.eye(head.n_features, dtype=head.weight.dtype)
    return rows[head.n_features // 2 :] + 0.01


def _spread(logits: Float[Tensor, "n K"]) -> Float[Tensor, "n 1 1"]:
    """Members disagree more where the logits are small."""
    return (1 / (1 + logits.abs().amax(dim=1)))[:, None, None]


def _sunk(bias: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
    sunk = bias.clone()
    sunk[1] -= 1e3
    return sunk
