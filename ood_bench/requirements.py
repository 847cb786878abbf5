"""What a run can offer to scorers, and why a scorer must be skipped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from ood_bench.bank.base import Bank
from ood_bench.specs import Spec
from ood_bench.types import (
    ABSTAIN,
    FEATURES,
    FIT,
    FIT_LABELS,
    HEAD,
    LOCAL_FEATURES,
    LOGITS,
    MEMBERS,
    NEGATIVE_TEXT,
    REMEDIES,
    TEXT_FEATURES,
    VAL,
    VAL_LABELS,
    Head,
    Info,
)

# Inputs that a bank holds under the name that its tensors have.
_TENSORS = {LOGITS: "logits", FEATURES: "features", MEMBERS: "members", LOCAL_FEATURES: "local_features"}
_CONSTANTS = {TEXT_FEATURES: "text_features", NEGATIVE_TEXT: "negative_text_features"}


@runtime_checkable
class Offer(Protocol):
    """The head and the banks that scorers learn from."""

    @property
    def head(self) -> Head | None: ...
    @property
    def fit(self) -> Bank | None: ...
    @property
    def val(self) -> Bank | None: ...


def describe(offer: Offer, scored: Iterable[Bank]) -> Info:
    """What is known before any pass, over all banks of a run."""
    scored = list(scored)
    banks = [bank for bank in (offer.fit, offer.val, *scored) if bank is not None]
    learnt_from = [bank for bank in (offer.fit, offer.val) if bank is not None]
    # Of the scored banks one that has an input is enough here: a set that lacks it loses its own cells alone.
    has = {
        need
        for need, name in _TENSORS.items()
        if all(name in bank.inputs for bank in learnt_from)
        and any(name in bank.inputs for bank in (scored or learnt_from))
    }
    has |= {need for need, name in _CONSTANTS.items() if scored and all(name in bank.constants for bank in scored)}
    if offer.head is not None and not any(bank.head_refused for bank in banks):
        has.add(HEAD)
    for bank, there, labelled in ((offer.fit, FIT, FIT_LABELS), (offer.val, VAL, VAL_LABELS)):
        if bank is not None:
            has |= {there, labelled} if bank.has_labels else {there}
    abstain = next((bank.abstain_index for bank in scored if bank.abstain_index is not None), None)
    if abstain is not None:
        has.add(ABSTAIN)
    return Info(
        n_classes=_n_classes(offer, banks),
        n_features=next((bank.n_features for bank in banks if bank.n_features is not None), None),
        n_fit=None if offer.fit is None else offer.fit.n,
        n_val=None if offer.val is None else offer.val.n,
        abstain_index=abstain,
        has=frozenset(has),
    )


def missing(spec: Spec, info: Info, offer: Offer) -> str | None:
    """Why the scorer must be skipped, with the flag or file that would supply what it lacks; None when it can run."""
    swap = {FIT: VAL, FIT_LABELS: VAL_LABELS} if spec.fit_split == "val" else {}
    lacking = [need for need in (swap.get(need, need) for need in spec.needs) if need not in info.has]
    if not lacking:
        return None
    refused = next(
        (bank.head_refused for bank in (offer.fit, offer.val) if bank is not None and bank.head_refused), None
    )
    if HEAD in lacking and refused is not None:
        return refused
    return "; ".join(f"needs {need}: {REMEDIES[need]}" for need in lacking)


def tensors_read(specs: Iterable[Spec]) -> frozenset[str] | None:
    """The row tensors that ours among the specs read, by the names they have in a bank: what they need, what they say in
    `also_reads` that they take where it is there, and the logits, whose largest is kept for every row.

    A plug-in may forget to say what it reads and is shown all: None.
    """
    found = {"logits", "labels"}
    for spec in specs:
        if spec.origin != "ours":
            return None
        also = (need for part in spec.parts for need in getattr(part.instance, "also_reads", ()))
        found |= {_TENSORS[need] for need in (*spec.needs, *also) if need in _TENSORS}
    return frozenset(found)


def _n_classes(offer: Offer, banks: list[Bank]) -> int | None:
    known = next((bank.n_classes for bank in banks if bank.n_classes is not None), None)
    if known is not None or offer.head is not None:
        return known if known is not None or offer.head is None else offer.head.n_classes
    if offer.fit is not None and offer.fit.has_labels:
        return int(offer.fit.read("labels").max()) + 1
    return None
