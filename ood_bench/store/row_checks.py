"""What a row of a leaderboard can be held against without any scores: itself, its suite, and the banks at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ood_bench.bank.manifest import Manifest
from ood_bench.store.leaderboard import identity
from ood_bench.store.row import MEAN, METRICS, Row, sha256_of_all_scores, sha256_of_inputs
from ood_bench.suites import Suite

EXACT = 1e-9  # a metric of the same scores on another machine
DRAWN = 1e-5  # an interval: the bootstrap sums in float32
SHARES = (*METRICS, "auroc_lo", "auroc_hi", "id_accuracy")


def check_rows(
    rows: Sequence[Row], suites: Mapping[str, Suite], banks: Mapping[str, Manifest], where: Mapping[int, str]
) -> list[str]:
    """What contradicts itself, the suite or the banks at hand; `where` names a row by its `id`."""
    findings: list[str] = []
    by_identity = {identity(row): row for row in rows}
    for row in rows:
        problems = [*_shares(row), *_sizes(row, suites.get(row.suite)), *_hashes(row), *_of_banks(row, banks)]
        if row.set == MEAN and row.status == "ok" and row.sources:
            problems += _mean(row, by_identity)
        findings += [f"{where[id(row)]}: {problem}" for problem in problems]
    return findings


def _shares(row: Row) -> list[str]:
    values = {column: getattr(row, column) for column in SHARES}
    problems = [
        f"{column} should be a share in [0, 1], got {value}"
        for column, value in values.items()
        if value is not None and not 0 <= value <= 1
    ]
    if row.status == "ok" and row.auroc is None:
        problems.append("auroc is empty, though the status is ok")
    if row.status != "ok" and row.auroc is not None:
        problems.append(f"auroc should be empty where the status is {row.status}, got {row.auroc}")
    if row.status != "ok" and not row.reason:
        problems.append(f"reason is empty, though the status is {row.status}")
    low, high = row.auroc_lo, row.auroc_hi
    if None not in (row.auroc, low, high) and not (low or 0) - DRAWN <= (row.auroc or 0) <= (high or 1) + DRAWN:
        problems.append(f"auroc should lie between auroc_lo and auroc_hi, got {row.auroc}, {low}, {high}")
    return problems


def _sizes(row: Row, suite: Suite | None) -> list[str]:
    """Sizes against the suite: an entry that was measured on another split is refused."""
    if suite is None:
        return [f"suite should be one that is known here, got {row.suite!r}; its sets cannot be held against anything"]
    if row.group not in suite.groups:
        return [f"group should be one of {', '.join(suite.groups)}, got {row.group!r}"]
    if row.set != MEAN and row.set not in suite.groups[row.group]:
        return [f"set should be one of {', '.join(suite.groups[row.group])} (group {row.group}), got {row.set!r}"]
    names = suite.groups[row.group] if row.set == MEAN else (row.set,)
    counts = [suite.sets[name].count for name in names]
    expected = {
        "n_id": suite.sets[suite.test].count if suite.test is not None else None,
        "n_ood": None if None in counts else sum(count or 0 for count in counts),
    }
    return [
        f"{column} should be {size}, the size of the suite's set, got {getattr(row, column)}: another split"
        for column, size in expected.items()
        if size is not None and getattr(row, column) not in (None, size)
    ]


def _hashes(row: Row) -> list[str]:
    if not row.sources:
        return []
    expected = {"inputs_sha256": sha256_of_inputs(row.sources), "scores_sha256": sha256_of_all_scores(row.sources)}
    problems = [
        f"{column} should be the hash over the row's sources, {value}, got {getattr(row, column)}"
        for column, value in expected.items()
        if getattr(row, column) != value
    ]
    sets = [source.set for source in row.sources if source.role == "ood"]
    if row.set != MEAN and sets != [row.set]:
        problems.append(f"set should be the one that its source scored, {', '.join(sets)}, got {row.set}")
    return problems


def _of_banks(row: Row, banks: Mapping[str, Manifest]) -> list[str]:
    problems = []
    for source in row.sources:
        manifest = banks.get(source.bank_sha256)
        if manifest is None:
            continue
        about = manifest.identity
        found = (about.model, about.model_seed, about.set)
        if found != (row.model, row.model_seed, source.set):
            problems.append(
                f"its {source.role} bank {source.bank_sha256[:12]} is {about}, not {row.model} on {source.set}"
            )
        size = row.n_id if source.role == "id" else row.n_ood if row.set != MEAN else None
        if size not in (None, manifest.n):
            problems.append(f"n_{source.role} should be {manifest.n}, the rows of its bank, got {size}")
    return problems


def _mean(row: Row, by_identity: Mapping[tuple[object, ...], Row]) -> list[str]:
    sets = [source.set for source in row.sources if source.role == "ood"]
    members = [by_identity.get(identity(replace(row, set=name))) for name in sets]
    present = [member for member in members if member is not None and member.status == "ok"]
    if len(present) < len(sets):
        return ["a mean needs the row of every set it is taken over"]
    means = {metric: math.fsum(getattr(one, metric) or 0 for one in present) / len(present) for metric in METRICS}
    return [
        f"{metric} should be the mean over {', '.join(sets)}, {mean:.9f}, got {getattr(row, metric)}"
        for metric, mean in means.items()
        if abs(mean - (getattr(row, metric) or 0)) > EXACT
    ]
