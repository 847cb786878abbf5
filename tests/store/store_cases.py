"""Records, suites and stores for the tests of the store and of the tables: small, and every number stated."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ood_bench.store.records import Provenance, ScoreKey, ScoreRecord, sha256_of_scores
from ood_bench.store.store import Store
from ood_bench.suites import SetSpec, Suite

PROVENANCE = Provenance(
    device="cpu", host="there", program="0.1.0", time="2026-01-02T03:04:05Z", versions={"torch": "2.4"}
)


def bank(name: str) -> str:
    """A stand-in for the hash of the bank of that name."""
    return hashlib.sha256(name.encode()).hexdigest()


def record(
    scores: np.ndarray, set: str = "test", *, scorer: str = "msp", params: dict[str, Any] | None = None, **fields: Any
) -> ScoreRecord:
    """A record of `scores`; keys and fields may be overridden by name."""
    of_key = {name: fields.pop(name) for name in list(fields) if name in ScoreKey.__dataclass_fields__}
    key = {"scorer": scorer, "version": "1", "params": params or {}, "bank_sha256": bank(set), **of_key}
    described = {
        "spec": scorer,
        "model": "net",
        "model_seed": None,
        "set": set,
        "n": len(scores),
        "scores_sha256": sha256_of_scores(scores),
        "score_dtype": str(scores.dtype),
        "provenance": (PROVENANCE,),
    }
    return ScoreRecord(key=ScoreKey(**key), **{**described, **fields})


def put(store: Store, values: list[float] | np.ndarray, set: str = "test", **fields: Any) -> ScoreRecord:
    """Store the values as float32 scores of `set`."""
    scores = np.asarray(values, dtype=np.float32)
    made = record(scores, set, **fields)
    store.put(made, scores)
    return made


def suite(**fields: Any) -> Suite:
    """A suite with the ID set `test` and two groups, near (a, b) and far (c)."""
    groups = fields.pop("groups", {"near": ("a", "b"), "far": ("c",)})
    names = ["test", *(name for sets in groups.values() for name in sets)]
    plain = {"name": "toy", "source": Path("toy.toml"), "origin": "home", "protocol": "ours", "test": "test"}
    return Suite(**{**plain, "groups": groups, "sets": {name: SetSpec(name) for name in names}, **fields})
