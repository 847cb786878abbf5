"""Which samples: the scores of one set by row, with ids and predicted classes where they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ood_bench.bank.catalog import find_banks
from ood_bench.bank.manifest import IDS_FILE
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import IntegrityError
from ood_bench.home import Home
from ood_bench.store.records import ScoreRecord
from ood_bench.store.store import Store


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a set. `id` is None where the bank is not at hand; classes are None where nobody kept them."""

    row: int
    id: str | None
    score: float
    percentile: float  # share of the ID test set's scores below this one; 0.5 is a typical ID sample
    predicted: int | None
    label: int | None


def samples(store: Store, record: ScoreRecord, inside: ScoreRecord, rows: Sequence[int] | np.ndarray) -> list[Sample]:
    """Those rows of the record's set; `inside` is the record of the ID test set of the same scorer."""
    scores = store.scores(record)
    reference = np.sort(store.scores(inside))
    ids = _ids(store.home, record)
    outcomes = store.outcomes(record.key.bank_sha256)
    found = []
    for row in map(int, rows):
        left, right = (np.searchsorted(reference, scores[row], side=side) for side in ("left", "right"))
        found.append(
            Sample(
                row=row,
                id=None if ids is None else ids[row],
                score=float(scores[row]),
                percentile=float(left + right) / (2 * len(reference)),
                predicted=None if outcomes is None else int(outcomes[0][row]),
                label=None if outcomes is None or outcomes[1][row] < 0 else int(outcomes[1][row]),
            )
        )
    return found


def worst(store: Store, record: ScoreRecord, count: int, *, is_id: bool) -> np.ndarray:
    """The rows that are hardest to tell: the highest scores of an OOD set, the lowest of an ID set; ties by row."""
    scores = store.scores(record)
    return np.argsort(scores if is_id else -scores, kind="stable")[:count]


def _ids(home: Home, record: ScoreRecord) -> list[str] | None:
    """The ids of the bank that was scored, None where it is not in the home."""
    for folder, manifest in find_banks(home):
        if manifest.bank_sha256 == record.key.bank_sha256:
            ids = (folder / IDS_FILE).read_bytes().decode().split("\n")[:-1]
            if len(ids) != record.n or sha256_of_lines(ids) != manifest.ids_sha256:
                raise IntegrityError(f"the ids in {folder / IDS_FILE} are not those of its bank; ood-bench bank verify")
            return ids
    return None
