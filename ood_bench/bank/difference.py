"""How far two banks of one model and set are apart: extractions on two machines should agree, if not bit by bit."""

from __future__ import annotations

from itertools import zip_longest

import torch

from ood_bench.bank.base import Bank

TOLERANCE = 1e-4  # of a tensor's largest size: what other hardware, batch sizes or thread counts may change
_ROWS = 4096


def difference(one: Bank, other: Bank) -> list[str]:
    """What differs beyond `TOLERANCE`, in sentences; empty where the two agree. Both are streamed once."""
    if (one.n, list(one.ids)) != (other.n, list(other.ids)):
        return [f"other rows: {one.n} against {other.n}" if one.n != other.n else "other ids, or another order"]
    if one.inputs != other.inputs:
        return [f"other tensors: {', '.join(sorted(one.inputs))} against {', '.join(sorted(other.inputs))}"]
    apart = dict.fromkeys(sorted(one.inputs), 0.0)
    size = dict.fromkeys(apart, 0.0)
    for (_, mine), (_, theirs) in zip_longest(one.batches(_ROWS), other.batches(_ROWS)):
        for name in apart:
            a, b = mine[name], theirs[name]
            if a.shape != b.shape:
                return [f"{name} has shape {tuple(a.shape[1:])} against {tuple(b.shape[1:])} per row"]
            apart[name] = max(apart[name], float((a.double() - b.double()).abs().max()))
            size[name] = max(size[name], float(torch.as_tensor(b).double().abs().max()))
    return [
        f"{name} differs by up to {apart[name]:.2g}, where its largest size is {size[name]:.2g}"
        for name in apart
        if apart[name] > TOLERANCE * size[name]
    ]
