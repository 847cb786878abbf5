"""From banks of any contents straight to one scorer's scores, through the engine; and the plainest softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ood_bench.bank.memory import MemoryBank
from ood_bench.engine import Learning, Refusal, fit_all, score_bank
from ood_bench.errors import CannotScore
from ood_bench.registry import load_all
from ood_bench.requirements import describe
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream


def run(
    spec: str,
    bank: MemoryBank,
    *,
    fit: MemoryBank | None = None,
    val: MemoryBank | None = None,
    rows: int | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Scores of the bank, and what the fit learned. CannotScore where the scorer refuses, AssertionError if it breaks."""
    load_all()
    learning = Learning(None, fit, val)
    info = describe(learning, [bank])
    stream = Stream(torch.device("cpu"), 1 << 28, rows)
    resolved = parse_spec(spec).resolved(info)
    fits = fit_all([resolved], learning, info, stream)
    _raise(fits.refused.get(resolved))
    done = score_bank([fits.fitted[resolved]], bank, learning, info, stream)
    _raise(done.refused.get(resolved))
    return np.asarray(done.scores[resolved].values), fits.fitted[resolved].learned


def logits_bank(logits: Any, labels: Any = None, dtype: torch.dtype = torch.float64, name: str = "test") -> MemoryBank:
    """A bank of nothing but logits (and labels)."""
    values = torch.as_tensor(np.asarray(logits, dtype=np.float64)).to(dtype)
    return MemoryBank.of(name, logits=values, labels=None if labels is None else torch.as_tensor(labels))


def softmax_rows(logits: Any) -> np.ndarray:
    """Softmax row by row, entry by entry, in Python's own floats."""
    out = []
    for row in np.asarray(logits, dtype=np.float64).tolist():
        top = max(row)
        powers = [math.exp(value - top) for value in row]
        out.append([power / math.fsum(powers) for power in powers])
    return np.array(out)


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        assert not refusal.failed, refusal.reason
        raise CannotScore(refusal.reason)
