"""One line of a leaderboard: a scorer, a checkpoint and an OOD set (or the mean over a group), with what it rests on.

Shares are in [0, 1]. What is not known is None, never 0 or NaN. `params` is the canonical JSON of all resolved
parameters, not only of those that differ from the defaults: a default may change, a row must not change with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

from ood_bench.canonical import sha256_of
from ood_bench.metrics.intervals import Interval
from ood_bench.store.records import ScoreRecord

SCHEMA = 1
MEAN = "mean"  # reserved as a set's name: the unweighted mean over a group

Status = Literal["ok", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Source:
    """A score record that a row was computed from, with the hashes of everything that went into it."""

    role: Literal["id", "ood"]
    set: str
    record: str  # hash of the score key: the record's name
    scores_sha256: str
    bank_sha256: str
    fit_sha256: str | None = None
    val_sha256: str | None = None
    head_sha256: str | None = None

    @classmethod
    def of(cls, role: Literal["id", "ood"], record: ScoreRecord) -> Source:
        """The source that a record is, in that role."""
        key = record.key
        return cls(
            role=role,
            set=record.set,
            record=key.sha256,
            scores_sha256=record.scores_sha256,
            bank_sha256=key.bank_sha256,
            fit_sha256=key.fit_sha256,
            val_sha256=key.val_sha256,
            head_sha256=key.head_sha256,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The columns of a leaderboard in their order; columns are appended, never moved."""

    schema: int = SCHEMA
    suite: str
    protocol: str | None = None
    model: str
    model_seed: int | None = None
    scorer: str  # registered name; of a composition "ash-s+energy"
    params: str | None = None
    profile: str | None = None
    tuned_on: str | None = None
    seed: int | None = None
    n_seeds: int | None = None
    set: str
    group: str
    n_id: int | None = None
    n_ood: int | None = None  # of a mean: all sets of the group together
    auroc: float | None = None
    auroc_lo: float | None = None
    auroc_hi: float | None = None
    auroc_std: float | None = None  # over seeds; see `aggregate_seeds`
    fpr95_id_positive: float | None = None
    fpr95_ood_positive: float | None = None
    aupr_in: float | None = None
    aupr_out: float | None = None
    id_accuracy: float | None = None
    fit_seconds: float | None = None  # the scorer's own, without shared passes
    score_seconds: float | None = None  # likewise, ID and OOD together
    device: str | None = None
    inputs_sha256: str | None = None
    scores_sha256: str | None = None
    scorer_version: str | None = None
    origin: str | None = None
    status: Status
    reason: str | None = None  # why there is no number; beside a number: what a reader must know about it
    ood_bench_version: str | None = None
    date: str | None = None
    # not columns: written to the records file beside the table
    sources: tuple[Source, ...] = field(default=(), repr=False)
    intervals: tuple[tuple[str, Interval], ...] = field(default=(), repr=False)  # by metric; see `with_intervals`

    def interval(self, metric: str) -> Interval | None:
        """The confidence interval of a metric, where one was asked for and there is one."""
        return dict(self.intervals).get(metric)

    def columns(self) -> dict[str, str | int | float | None]:
        """The row under the leaderboard's column names."""
        return {name: getattr(self, name) for name in COLUMNS}


COLUMNS: tuple[str, ...] = tuple(column.name for column in fields(Row) if column.name not in ("sources", "intervals"))
INTEGERS: frozenset[str] = frozenset(c.name for c in fields(Row) if str(c.type) in ("int", "int | None"))
FLOATS: frozenset[str] = frozenset(c.name for c in fields(Row) if str(c.type) == "float | None")
TEXTS: frozenset[str] = frozenset(COLUMNS) - INTEGERS - FLOATS
METRICS: tuple[str, ...] = ("auroc", "fpr95_id_positive", "fpr95_ood_positive", "aupr_in", "aupr_out")


def sha256_of_inputs(sources: Sequence[Source]) -> str:
    """The hash over the hashes of everything a row was computed from: fit, val, head, ID and OOD banks."""
    first = sources[0]
    return sha256_of(
        {
            "fit": first.fit_sha256,
            "val": first.val_sha256,
            "head": first.head_sha256,
            "id": [source.bank_sha256 for source in sources if source.role == "id"],
            "ood": [source.bank_sha256 for source in sources if source.role == "ood"],
        }
    )


def sha256_of_all_scores(sources: Sequence[Source]) -> str:
    """The hash over the hashes of the ID and OOD scores of a row."""
    return sha256_of(
        {
            "id": [source.scores_sha256 for source in sources if source.role == "id"],
            "ood": [source.scores_sha256 for source in sources if source.role == "ood"],
        }
    )
