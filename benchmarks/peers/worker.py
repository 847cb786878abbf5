"""One method of one peer in a process of its own: `python -m benchmarks.peers.worker PEER METHOD TENSORS SCORES LIMIT`.

Prints one line of JSON. A set whose first rows already show that it would pass the limit is scored in part, and its
seconds are extrapolated (and marked).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.clock import now, use_processor_time
from benchmarks.peers.method import Method, Tensors

PEERS = {
    "pytorch-ood": "benchmarks.peers.pytorch_ood",
    "oodeel": "benchmarks.peers.oodeel",
    "openood": "benchmarks.peers.openood",
}


def main(peer: str, name: str, tensors_file: str, scores_file: str, limit: str) -> None:
    if os.environ.get("BENCHMARK_PROCESSOR_TIME"):
        use_processor_time()
    tensors = Tensors.load(Path(tensors_file))
    os.environ["BENCHMARK_CLASSES"] = str(len(tensors.weight))
    module = importlib.import_module(PEERS[peer])
    method: Method = module.methods(tensors)[name]
    method.prepare()
    with torch.no_grad():
        started = now()
        method.fit(tensors)
        fit = now() - started
        scores, seconds = score(method, tensors, float(limit) - fit)
    share = len(scores) / len(tensors.features)
    np.save(scores_file, method.sign * scores.double().numpy())
    print(json.dumps({"fit": fit, "score": seconds / share, "rows": len(scores), "extrapolated": share < 1}))


def score(method: Method, tensors: Tensors, limit: float) -> tuple[torch.Tensor, float]:
    """Scores of all rows (the best of two tries where there is time), or of the first ones that fit the limit."""
    n, parts, started = len(tensors.features), [], now()
    for at in range(0, n, method.rows):
        parts.append(method.score(tensors, slice(at, min(n, at + method.rows))))
        spent = now() - started
        if at + method.rows < n and spent / (at + method.rows) * n > limit:
            return torch.cat(parts).flatten(), spent
    spent = now() - started
    tries = min(5, int(min(limit, 10) / max(spent, 1e-3)))
    for _ in range(tries):
        started = now()
        for at in range(0, n, method.rows):
            method.score(tensors, slice(at, min(n, at + method.rows)))
        spent = min(spent, now() - started)
    return torch.cat(parts).flatten(), spent


if __name__ == "__main__":
    main(*sys.argv[1:])
