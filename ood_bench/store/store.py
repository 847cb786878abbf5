"""The append-only store: score records with their scores, the outcomes of a classifier, and runs.

Any number of processes write at once without locks. Scores are written first, under a name that holds their own hash;
the record that points at them is then claimed by one process, the others compare theirs with it. A record without its
scores never exists; scores without a record (a process died between the two) are harmless and never read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.files import write_json
from ood_bench.home import Home
from ood_bench.naming import unknown
from ood_bench.store.arrays import read_arrays, write_arrays
from ood_bench.store.reading import read_record, read_run, record_to_json, run_to_json
from ood_bench.store.records import Provenance, Run, ScoreRecord, sha256_of_scores

TOLERANCE = 1e-5  # two computations of one key may differ by this, relative to the score or the scores' scale

_KEY_FILE = re.compile(r"[0-9a-f]{64}\.json")
_RUN_FILE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}\.json")
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Store:
    """The records, outcomes and runs below one home. Holds no state of its own: every call reads the files."""

    def __init__(self, home: Home) -> None:
        self.home = home

    # -- scores

    def put(self, record: ScoreRecord, scores: Float[np.ndarray, " n"]) -> Literal["new", "same"]:
        """Keep the scores under the record's key; "same" when equal ones are there already, whose provenance grows.

        Raises IntegrityError where the key has other scores, or where these are not finite.
        """
        _check(record, scores)
        path = self._record_path(record.key.sha256)
        if not _is_written(path):
            write_arrays(self._scores_path(record), {"scores": scores})
            if _claim(path, record_to_json(record)):
                return "new"
        self._merge(path, record, scores)
        return "same"

    def get(self, key_sha256: str) -> ScoreRecord | None:
        """The record of that key, None where there is none."""
        path = self._record_path(key_sha256)
        return read_record(path) if _is_written(path) else None

    def scores(self, record: ScoreRecord) -> Float[np.ndarray, " n"]:
        """The record's scores, in the precision they were computed in; their hash is verified at every reading."""
        path = self._scores_path(record)
        (scores,) = read_arrays(path, ("scores",), f"the scores of {record.what}")
        found = sha256_of_scores(scores)
        if found != record.scores_sha256 or scores.shape != (record.n,):
            raise IntegrityError(
                f"the scores of {record.what} should have the sha256 {record.scores_sha256} and {record.n} rows, got "
                f"{found} and {scores.size} in {path}; remove {self._record_path(record.key.sha256)} and run again"
            )
        return scores

    def records(self) -> Iterator[ScoreRecord]:
        """Every record, in the order of the keys."""
        for folder in sorted(_entries(self.home.records)):
            for path in sorted(_entries(folder)):
                if _KEY_FILE.fullmatch(path.name) and _is_written(path):
                    yield read_record(path)

    # -- outcomes

    def put_outcomes(
        self, bank_sha256: str, predicted: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"]
    ) -> Literal["new", "same"]:
        """Keep the predicted classes and true labels (-1 = none) of a bank's rows.

        Where they are kept already the first stay: labels must be equal, predictions up to one row in a hundred,
        because devices break ties between low-precision logits in different ways.
        """
        path = self._outcomes_path(bank_sha256)
        if not path.exists():
            arrays = {"predicted": predicted.astype(np.int64), "labels": labels.astype(np.int64)}
            write_arrays(path, {**arrays, "sha256": _seal(**arrays)})
            return "new"
        kept = self.outcomes(bank_sha256)
        assert kept is not None  # outcomes are never removed by the program
        kept_predicted, kept_labels = kept
        if not np.array_equal(kept_labels, labels):
            raise IntegrityError(f"the labels of bank {bank_sha256} should be those kept at {path}, but they differ")
        different = int((kept_predicted != predicted).sum())
        if different > max(1, len(labels) // 100):
            raise IntegrityError(
                f"the predictions for bank {bank_sha256} should be those kept at {path}, but {different} of "
                f"{len(labels)} differ; remove that file if the classifier's head was changed"
            )
        return "same"

    def outcomes(self, bank_sha256: str) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]] | None:
        """(predicted classes, labels) of a bank's rows, None where nobody kept them."""
        path = self._outcomes_path(bank_sha256)
        if not path.exists():
            return None
        names = ("predicted", "labels", "sha256")
        predicted, labels, seal = read_arrays(path, names, f"the outcomes of bank {bank_sha256}")
        if not np.array_equal(seal, _seal(predicted, labels)):
            raise IntegrityError(f"predictions and labels should have the hash stored beside them in {path}; remove it")
        return predicted, labels

    # -- runs

    def put_run(self, run: Run) -> None:
        """Keep the run under its id."""
        write_json(self._run_path(run.id), run_to_json(run))

    def run(self, id: str) -> Run:
        """The run of that id; RequestError with near matches where there is none."""
        if not _RUN_FILE.fullmatch(f"{id}.json") or not self._run_path(id).exists():
            raise unknown("run", id, [run.id for run in self.runs()])
        return read_run(self._run_path(id))

    def runs(self) -> Iterator[Run]:
        """Every run, the oldest first."""
        for path in sorted(_entries(self.home.runs)):
            if _RUN_FILE.fullmatch(path.name):
                yield read_run(path)

    # -- how it is done

    def _record_path(self, key_sha256: str) -> Path:
        return self.home.records / key_sha256[:2] / f"{key_sha256}.json"

    def _scores_path(self, record: ScoreRecord) -> Path:
        key = record.key.sha256
        return self.home.records / key[:2] / f"{key}.{record.scores_sha256[:8]}.safetensors"

    def _outcomes_path(self, bank_sha256: str) -> Path:
        return self.home.root / "outcomes" / bank_sha256[:2] / f"{bank_sha256}.safetensors"

    def _run_path(self, id: str) -> Path:
        return self.home.runs / f"{id}.json"

    def _merge(self, path: Path, record: ScoreRecord, scores: Float[np.ndarray, " n"]) -> None:
        """Compare with the scores that are there, and add this computation to their provenance.

        Two processes that add at the same instant may lose one of the two additions; a record is never lost.
        """
        kept = read_record(path)
        _compare(kept, self.scores(kept), record, scores, path)
        known = [_without_time(entry) for entry in kept.provenance]
        added = tuple(entry for entry in record.provenance if _without_time(entry) not in known)
        if added:
            write_json(path, record_to_json(replace(kept, provenance=kept.provenance + added)))


def _check(record: ScoreRecord, scores: Float[np.ndarray, " n"]) -> None:
    """Refuse scores that are not what the record says, or that no metric can use."""
    if scores.size == 0:
        raise IntegrityError(f"there should be at least one score, got none from {record.what}")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise IntegrityError(
            f"scores should be finite, got {scores[bad[0]]} in row {bad[0]} and {bad.size} such rows in all, "
            f"from {record.what}"
        )
    stated = (record.n, record.score_dtype, record.scores_sha256)
    found = (len(scores), str(scores.dtype), sha256_of_scores(scores))
    if stated != found or scores.dtype not in (np.float32, np.float64):
        raise IntegrityError(
            f"the record of {record.what} should describe its scores (rows, float32 or float64, sha256): "
            f"it says {stated}, they are {found}"
        )


def _compare(
    kept: ScoreRecord,
    stored: Float[np.ndarray, " n"],
    record: ScoreRecord,
    scores: Float[np.ndarray, " m"],
    path: Path,
) -> None:
    """Raise where two computations of one key disagree."""
    if len(stored) == len(scores):
        old, new = stored.astype(np.float64), scores.astype(np.float64)
        scale = np.sqrt(np.mean(old**2)) if old.size else 0.0
        excess = np.abs(new - old) - TOLERANCE * np.maximum(np.abs(old), scale)
        if not (excess > 0).any():
            return
        row = int(np.argmax(excess))
        fact = f"row {row} is {new[row]:.9g} where {old[row]:.9g} is stored"
    else:
        fact = f"there are {len(scores)} rows where {len(stored)} are stored"
    raise IntegrityError(
        f"{record.what}: two computations of one key should agree to {TOLERANCE:g} relative, but {fact}; "
        f"new: {_origin(record)}; stored: {_origin(kept)}, in {path}; "
        f"give the scorer a new version if its formula changed, or remove the stored record if it is the wrong one"
    )


def _seal(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The SHA-256 of the two arrays, as 32 bytes to keep beside them."""
    return np.frombuffer(hashlib.sha256(predicted.tobytes() + labels.tobytes()).digest(), dtype=np.uint8)


def _origin(record: ScoreRecord) -> str:
    sources = [
        f"{entry['time']} on {entry['device']} of {entry['host']}, ood-bench {entry['program']}, "
        + ", ".join(f"{name} {version}" for name, version in sorted(entry["versions"].items()))
        for entry in record.provenance[:1]
    ]
    return " ".join([f"scores sha256 {record.scores_sha256}", *(f"({source})" for source in sources)])


def _without_time(entry: Provenance) -> tuple[object, ...]:
    return entry["device"], entry["host"], entry["program"], sorted(entry["versions"].items())


def _claim(path: Path, value: object) -> bool:
    """Make the JSON appear at `path` unless a file is there already; False where another process was first."""
    ready = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.new")
    try:
        write_json(ready, value, durable=False)
        try:
            os.link(ready, path)  # unlike a rename it fails where the name is taken
        except FileExistsError:
            if _is_written(path):
                return False
            ready.replace(path)  # the empty file that a power cut left
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise RequestError(
                    f"cannot write {path}: {error.strerror}; choose a writable place with --home"
                ) from error
            # A file system without links: the last of two writers wins, and each record points at its own scores.
            write_json(path, value)
        return True
    finally:
        ready.unlink(missing_ok=True)


def _is_written(path: Path) -> bool:
    """Whether there is anything at `path`; a power cut leaves an empty file, and what was in it is computed again."""
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise RequestError(f"cannot list {folder}: {error.strerror}; choose another place with --home") from error
