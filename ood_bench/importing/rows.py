"""The rows of a set out of the arrays of a file: ids, severity levels, and a share of fit set aside for val."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ood_bench.errors import RequestError
from ood_bench.importing.layout import CONSTANT_ARRAYS, ROW_ARRAYS, Source

_SCORED = {"features", "logits", "members"}  # of which a set has one at least


@dataclass(frozen=True, slots=True)
class Share:
    """A seeded share of the rows of one set that becomes a set of its own, `<set>-val`."""

    share: float
    seed: int

    def rows(self, n: int) -> np.ndarray:
        """The drawn rows in order; at least one, and at least one is left."""
        drawn = round(self.share * n)
        if not 0 < drawn < n:
            raise RequestError(
                f"--val-from-fit {self.share:g} of {n} rows would take {drawn}, and both fit and val need rows; "
                "give another share"
            )
        return np.sort(np.random.default_rng(self.seed).permutation(n)[:drawn])


@dataclass(frozen=True, slots=True)
class SetRows:
    """What is stored for one set, before it is checked."""

    name: str
    file: str
    arrays: Mapping[str, np.ndarray]
    ids: tuple[str, ...]
    given_ids: bool
    constants: Mapping[str, np.ndarray]
    abstain_index: int | None
    selection: str = ""
    seed: int | None = None

    @property
    def n(self) -> int:
        return len(self.ids)

    @property
    def where(self) -> str:
        """How errors call this set."""
        return f"set {self.name!r} ({self.file})"


def read_sets(source: Source, share: Share | None = None) -> tuple[list[SetRows], tuple[str, ...]]:
    """The sets in a source, and the names of arrays left aside.

    A source is one set, or one per severity where features, logits or members have a leading axis:
    `<name>-1`, `<name>-2`, ...
    With `share` it is two: the rows that stay, and `<name>-val`.
    """
    arrays, aside = source.read()
    where = f"set {source.name!r} ({source})"
    if not arrays.keys() & _SCORED:
        held = ", ".join(map(repr, (*arrays, *aside))) or "no arrays"
        raise RequestError(
            f"{where} should hold `features` (n, d), `logits` (n, K) or `members` (n, M, K), but holds {held}; "
            "rename the array"
        )
    constants = {name: array for name, array in arrays.items() if name in CONSTANT_ARRAYS and name != "abstain_index"}
    abstain = _abstain(where, arrays)
    sets = []
    for name, level in _levels(source.name, where, {k: a for k, a in arrays.items() if k in ROW_ARRAYS}).items():
        given = level.pop("ids", None)
        n = _count(f"set {name!r} ({source})", level)
        ids = tuple(f"{name}/{row}" for row in range(n)) if given is None else _ids(where, given, n)
        sets.append(SetRows(name, str(source), level, ids, given is not None, constants, abstain))
    if share is None:
        return sets, aside
    if len(sets) > 1:
        raise RequestError(
            f"{where} has {len(sets)} severity levels, and --val-from-fit divides one plain set; name one"
        )
    return _divide(sets[0], share), aside


def _levels(name: str, where: str, arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by set name: one set, or one for each entry of a leading severity axis."""
    stacked = {key for key, array in arrays.items() if array.ndim == ROW_ARRAYS[key] + 1}
    if not stacked & _SCORED:
        return {name: dict(arrays)}
    shared = arrays.keys() - stacked
    levels = {len(arrays[key]) for key in stacked}
    if len(levels) > 1 or not shared <= {"labels", "ids"}:
        shapes = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
        raise RequestError(
            f"{where}: all arrays but labels and ids should have the same leading severity axis, got {shapes}; "
            "store one set per file, or stack them all"
        )
    return {
        f"{name}-{level + 1}": {key: array[level] if key in stacked else array for key, array in arrays.items()}
        for level in range(levels.pop())
    }


def _count(where: str, arrays: Mapping[str, np.ndarray]) -> int:
    counts = {key: len(array) if array.ndim else 0 for key, array in arrays.items()}
    if len(set(counts.values())) > 1:
        listing = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise RequestError(f"{where}: all arrays should have one entry per row, got {listing}; export them together")
    n = next(iter(counts.values()))
    if n == 0:
        raise RequestError(f"{where} should have at least one row, but it is empty; export it again or leave it out")
    return n


def _ids(where: str, given: np.ndarray, n: int) -> tuple[str, ...]:
    if given.dtype.kind not in "USiu" or given.shape != (n,):
        raise RequestError(
            f"{where}: ids should be {n} texts or whole numbers, got {given.dtype} of shape {given.shape}"
        )
    if given.dtype.kind == "S":
        try:
            given = np.char.decode(given, "utf-8")
        except UnicodeDecodeError as error:
            raise RequestError(f"{where}: ids should be UTF-8 texts, but {error}") from error
    return tuple(map(str, given.tolist()))


def _abstain(where: str, arrays: Mapping[str, np.ndarray]) -> int | None:
    given = arrays.get("abstain_index")
    if given is None:
        return None
    if given.size != 1 or given.dtype.kind not in "iu":
        raise RequestError(
            f"{where}: abstain_index should be one whole number, got {given.dtype} of shape {given.shape}"
        )
    return int(given.reshape(()))


def _divide(whole: SetRows, share: Share) -> list[SetRows]:
    drawn = share.rows(whole.n)
    kept = np.setdiff1d(np.arange(whole.n), drawn)
    rule = f"{len(drawn)} of the {whole.n} rows of {whole.name!r}, drawn without replacement by NumPy's default_rng"
    return [
        _take(whole, whole.name, kept, f"all but {rule}", share),
        _take(whole, f"{whole.name}-val", drawn, rule, share),
    ]


def _take(whole: SetRows, name: str, rows: np.ndarray, selection: str, share: Share) -> SetRows:
    return SetRows(
        name,
        whole.file,
        {key: array[rows] for key, array in whole.arrays.items()},
        tuple(whole.ids[row] for row in rows.tolist()),
        whole.given_ids,
        whole.constants,
        whole.abstain_index,
        selection,
        share.seed,
    )
