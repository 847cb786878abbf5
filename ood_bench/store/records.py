"""What the store keeps: the key of a set of scores, the record that describes them, and what a user asked for.

A key holds everything that can change a score and nothing else: suite, device, library versions, host and time are
provenance. Fields that are None are left out of a key, so a later optional field does not change the keys of today.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, TypedDict

import numpy as np
from jaxtyping import Float

from ood_bench.canonical import sha256_of

SCHEMA = 1  # of score records and runs; readers accept this one and all older ones

Origin = Literal["ours", "plugin", "imported", "external"]


class Provenance(TypedDict):
    """Where and with what scores were computed; `time` is ISO 8601 in UTC, `program` the version of ood-bench."""

    device: str
    host: str
    program: str
    time: str
    versions: dict[str, str]


@dataclass(frozen=True)
class ScoreKey:
    """Which scores: equal keys must have equal scores. `params` are resolved (defaults, clamps and `auto` applied)."""

    scorer: str  # registered name; of a composition "ash-s+energy"
    version: str
    params: Mapping[str, object]
    bank_sha256: str  # the bank that was scored
    fit_split: str | None = None  # name of the split the scorer was fitted on
    seed: int | None = None
    precision: str | None = None  # only where it is not the scorer's default
    fit_sha256: str | None = None
    val_sha256: str | None = None
    head_sha256: str | None = None

    def to_json(self) -> dict[str, object]:
        """The fields that are set, as they are hashed and written."""
        set_ = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in set_.items() if value is not None}

    @cached_property
    def sha256(self) -> str:
        """The name of the record: the hash of the canonical JSON of the key."""
        return sha256_of({"schema": 1, **self.to_json()})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord:
    """These are the scores of this scorer for this bank; the scores themselves lie beside the record."""

    key: ScoreKey
    spec: str  # canonical text, such as "react:q=0.99+vim"
    model: str
    model_seed: int | None
    set: str
    n: int
    scores_sha256: str
    score_dtype: str
    provenance: tuple[Provenance, ...]  # the first is the computation that was stored
    list_sha256: str | None = None  # tells sets of one name apart
    origin: Origin = "ours"
    plugin_sha256: str | None = None
    marks: tuple[str, ...] = ()  # sentences for the footnotes: "constant on this set"
    learned: Mapping[str, object] | None = None  # values the fit chose
    fit_seconds: float | None = None
    score_seconds: float | None = None
    profile: str | None = None
    tuned_on: str | None = None

    @property
    def time(self) -> str:
        """When the stored scores were computed."""
        return self.provenance[0]["time"] if self.provenance else ""

    @property
    def what(self) -> str:
        """The record in the words of a message: scorer, model and set."""
        at = "" if self.model_seed is None else f"@{self.model_seed}"
        return f"{self.spec} on {self.model}{at}, set {self.set}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Why a scorer has no scores: for every set of the suite, or for `set` alone."""

    scorer: str  # the spec, as asked for
    model: str
    suite: str
    reason: str
    set: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a user asked for, on which banks, and which records answer it."""

    id: str
    time: str
    suite: str
    model: str
    model_seed: int | None
    banks: Mapping[str, str]  # set -> bank_sha256
    head_sha256: str | None
    request: Mapping[str, object]
    records: tuple[str, ...]  # hashes of score keys
    skipped: tuple[Skipped, ...] = ()
    failed: tuple[Skipped, ...] = ()
    seconds: Mapping[str, object] | None = None  # shared passes, with who used them


def sha256_of_scores(scores: Float[np.ndarray, " n"]) -> str:
    """Hex SHA-256 of the scores' bytes, little-endian, in order."""
    return hashlib.sha256(np.ascontiguousarray(scores, dtype=scores.dtype.newbyteorder("<")).data).hexdigest()


def new_run_id(time: datetime | None = None) -> str:
    """A run's name: the time in UTC, so that names sort by it, and six hex digits against collisions."""
    moment = (time or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
