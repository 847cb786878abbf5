"""What tunings say about records: which value was selected and on what, and which are only points of its curve.

A run that tuned says so in its request: {"tunings": [{"tuned_on": TEXT, "selected_records": [KEY, ...], ...}, ...]}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ood_bench.store.records import Run, ScoreRecord

TUNINGS = "tunings"


def tunings_of(run: Run) -> list[dict[str, Any]]:
    """What the run tuned; empty for a run that did not."""
    found = run.request.get(TUNINGS, [])
    return list(found) if isinstance(found, list) else []


def marked(records: Iterable[ScoreRecord], runs: Sequence[Run], *, keep_curves: bool) -> Iterator[ScoreRecord]:
    """The records, those that a tuning selected with what it was tuned on; a table is not told the rest of its curve.

    What an ordinary run asked for by name is an ordinary row, whatever was tuned besides.
    """
    plain = {key for run in runs if not tunings_of(run) for key in run.records}
    curve = {key for run in runs if tunings_of(run) for key in run.records} - plain
    selected = {
        key: str(tuning["tuned_on"])
        for run in runs
        for tuning in tunings_of(run)
        for key in tuning["selected_records"]
        if key in curve
    }
    for record in records:
        key = record.key.sha256
        if key in selected:
            yield replace(record, tuned_on=selected[key])
        elif key not in curve or keep_curves:
            yield record
