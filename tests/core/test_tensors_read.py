"""Only what somebody needs is read from a bank: the logits of a run without feature scorers, and nothing more."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest
from support import CPU, problem
from torch import Tensor

from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning, fit_all, score_bank
from ood_bench.registry import load_all
from ood_bench.requirements import describe, tensors_read
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream

load_all()


@pytest.mark.parametrize(
    ("specs", "read"),
    [
        (("msp", "klm", "gen"), {"logits", "labels"}),
        (("msp", "ssd"), {"logits", "labels", "features"}),
        (("react+energy",), {"logits", "labels", "features"}),
        (("knn:k=3",), {"logits", "labels", "features"}),
        (("dcs",), {"logits", "labels", "features"}),  # not needed, but taken where it is there
        (("mutual-information",), {"logits", "labels", "members"}),
    ],
)
def test_what_is_read_follows_from_what_scorers_need(
    specs: tuple[str, ...], read: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem()
    asked: set[str] = set()
    batches = MemoryBank.batches

    def watched(
        bank: MemoryBank, rows: int, names: Collection[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        assert names is not None
        asked.update(names)
        return batches(bank, rows, names)

    learning = Learning(given.head, given.bank("fit"), given.bank("val"))
    info = describe(learning, [given.bank("test")])
    resolved = [parse_spec(spec).resolved(info) for spec in specs]
    assert tensors_read(resolved) == read
    if "members" in read:
        return
    monkeypatch.setattr(MemoryBank, "batches", watched)
    stream = Stream(CPU, 1 << 28, 16)
    fits = fit_all(resolved, learning, info, stream)
    done = score_bank(list(fits.fitted.values()), given.bank("test"), learning, info, stream)
    assert not {**fits.refused, **done.refused}
    assert asked == read
