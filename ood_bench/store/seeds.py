"""Rows that differ only in their seeds, as one row: done at reading, never stored."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ood_bench.canonical import sha256_of
from ood_bench.errors import RequestError
from ood_bench.store.row import FLOATS, Row

DDOF = 1  # sample standard deviation: a few seeds stand for many; OpenOOD prints the population's (0)

_AVERAGED = FLOATS - {"auroc_lo", "auroc_hi", "auroc_std"}


def aggregate_seeds(rows: Iterable[Row], *, ddof: int = DDOF) -> list[Row]:
    """The mean over checkpoints' and scorers' seeds, in the order of the first row of each.

    `auroc_std` is sqrt(sum (x - mean)^2 / (n_seeds - ddof)): ddof=1 (default) estimates the spread of further seeds,
    ddof=0 is the spread of these, as OpenOOD prints it; with one seed there is none. A row for which one seed has no
    number has none either and says which seed. Intervals of single seeds are dropped.
    """
    if ddof not in (0, 1):
        raise RequestError(f"ddof should be 0 (population) or 1 (sample), got {ddof}")
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        names = (row.suite, row.protocol, row.model, row.scorer, row.params, row.profile, row.tuned_on)
        groups.setdefault((*names, row.set, row.group, row.origin), []).append(row)
    return [_aggregated(members, ddof) if len(members) > 1 else members[0] for members in groups.values()]


def _aggregated(members: list[Row], ddof: int) -> Row:
    common = replace(
        members[0],
        model_seed=None,
        seed=None,
        n_seeds=sum(row.n_seeds or 1 for row in members),
        n_id=_common([row.n_id for row in members]),
        n_ood=_common([row.n_ood for row in members]),
        scorer_version=_joined([row.scorer_version for row in members]),
        device=_joined([row.device for row in members]),
        ood_bench_version=_joined([row.ood_bench_version for row in members]),
        date=max((row.date for row in members if row.date), default=None),
        auroc_lo=None,
        auroc_hi=None,
        sources=(),
        intervals=(),
    )
    missing = [row for row in members if row.status != "ok"]
    if missing:
        empty: dict[str, Any] = dict.fromkeys((*FLOATS, "n_id", "n_ood", "inputs_sha256", "scores_sha256"))
        reason = "; ".join(dict.fromkeys(f"{_seed(row)}: {row.reason}" for row in missing))
        failed = any(row.status == "failed" for row in missing)
        return replace(common, **empty, status="failed" if failed else "skipped", reason=reason)
    means: dict[str, Any] = {name: _mean([getattr(row, name) for row in members]) for name in _AVERAGED}
    return replace(
        common,
        **means,
        auroc_std=_deviation([row.auroc for row in members if row.auroc is not None], ddof),
        inputs_sha256=sha256_of(sorted(row.inputs_sha256 or "" for row in members)),
        scores_sha256=sha256_of(sorted(row.scores_sha256 or "" for row in members)),
        reason=_joined([row.reason for row in members], "; "),
    )


def _deviation(values: list[float], ddof: int) -> float | None:
    if len(values) < 2:
        return None
    return statistics.stdev(values) if ddof else statistics.pstdev(values)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _common(values: list[int | None]) -> int | None:
    return values[0] if all(value == values[0] for value in values) else None


def _joined(values: list[str | None], separator: str = ", ") -> str | None:
    return separator.join(dict.fromkeys(value for value in values if value)) or None


def _seed(row: Row) -> str:
    parts = [("checkpoint", row.model_seed), ("seed", row.seed)]
    return " ".join(f"{name} {value}" for name, value in parts if value is not None) or "one of the rows"
