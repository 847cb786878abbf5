"""What all adapters share: an entry made from another package's detector, and whole tensors under a stated bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.parameters import Scalar, values_of
from ood_bench.registry import Entry
from ood_bench.types import FIT, VAL, Info

BOUND = 2 << 30  # bytes of fit rows that are handed to a foreign detector, which wants them whole


@dataclass(frozen=True, slots=True)
class Foreign:
    """Another package's detector in our words; `make` builds and fits it and returns what scores a batch."""

    name: str
    paper: str
    needs: tuple[str, ...]
    release: str  # of the package or of the very file; part of every key
    parameters: tuple[tuple[str, Any, Scalar | dataclasses._MISSING_TYPE], ...]  # name, type, default
    make: Callable[[Mapping[str, Scalar], Learnt], Callable[[Batch], Float[Tensor, " n"]]]
    source: str


@dataclass(frozen=True)
class Learnt:
    """What a foreign detector may learn from; the sets are whole."""

    head: Any
    info: Info
    train: Any = None
    val: Any = None


@dataclass(frozen=True)
class FittedForeign:
    """A fitted foreign detector. It is no value of tensors, so it lives as long as the run."""

    score_batch: Callable[[Batch], Float[Tensor, " n"]]

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.score_batch(batch).reshape(-1).to(batch.device)


def entry_of(foreign: Foreign) -> Entry:
    """A registry entry whose class has the detector's parameters as its fields."""
    fields: Iterable[Any] = (
        (name, kind) if default is dataclasses.MISSING else (name, kind, dataclasses.field(default=default))
        for name, kind, default in foreign.parameters
    )

    def resolve(self: Any, info: Info) -> Any:
        check_size(foreign, info)
        return self

    wants_train, wants_val = FIT in foreign.needs, VAL in foreign.needs

    def fit_nothing(self: Any, info: Info, head: Any = None) -> FittedForeign:
        return FittedForeign(foreign.make(values_of(self), Learnt(head, info)))

    def fit_train(self: Any, info: Info, train: Any, head: Any = None) -> FittedForeign:
        return FittedForeign(foreign.make(values_of(self), Learnt(head, info, train)))

    def fit_val(self: Any, info: Info, val: Any, head: Any = None) -> FittedForeign:
        return FittedForeign(foreign.make(values_of(self), Learnt(head, info, None, val)))

    fit = fit_train if wants_train else fit_val if wants_val else fit_nothing
    cls = dataclasses.make_dataclass(
        foreign.name.rpartition(":")[2],
        fields,
        namespace={"fit": fit, "resolve": resolve, "__doc__": f"{foreign.name}, run as it stands ({foreign.release})."},
        frozen=True,
    )
    return Entry(
        name=foreign.name,
        kind="scorer",
        cls=cls,
        version=1,
        paper=foreign.paper,
        family="external",
        needs=foreign.needs,
        assumes=(),
        aliases=(),
        precision="float32",
        origin="external",
        source=foreign.source,
        release=foreign.release,
    )


def check_size(foreign: Foreign, info: Info) -> None:
    """Refuse when the whole set that the detector learns from would not fit the bound."""
    rows = (info.n_fit if FIT in foreign.needs else info.n_val if VAL in foreign.needs else 0) or 0
    wanted = 4 * rows * ((info.n_features or 0) + (info.n_classes or 0))
    if wanted > BOUND:
        raise CannotScore(
            f"{foreign.name} takes its fit set whole, {wanted / 2**30:.1f} GiB of {rows} rows; "
            f"the bound is {BOUND / 2**30:g} GiB: use our own scorer, or a smaller fit set"
        )
