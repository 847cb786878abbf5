"""Option log-likelihoods of language models as logits: what lm-evaluation-harness logs, and plain arrays.

A question is a row, an option a class. The abstain option ("I don't know") is moved to the last column wherever its place
differs between questions. Files that are understood:
    samples_*.jsonl                   lm-evaluation-harness with --log_samples, multiple-choice tasks
    *.npz with loglik and truth       log-likelihoods (n, K) and the right option (n,)
    *.npz with X_scores and X_targets probabilities (n, K) or (prompts, n, K) and the right option, for every subject X
    *.csv, *.csv.gz                   label, unknown_idx and a column of chosen options (hard predictions)
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from ood_bench.errors import RequestError
from ood_bench.importing.foreign import read_arrays
from ood_bench.naming import unknown

Normalise = Literal["none", "characters"]
HARD = -100.0  # logit of the options that a hard prediction did not choose: their probability is 4e-44
ABSTAIN_NONE, ABSTAIN_LAST = "none", "last"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read, where it leaves a choice."""

    abstain: str = ABSTAIN_NONE  # none, last, the number of an option, or its text
    normalise: Normalise = "none"
    prompt: int = 0
    column: str | None = None  # of hard predictions
    options: int | None = None  # only questions with so many


@dataclass(frozen=True)
class OptionSet:
    """Questions as rows: logits by option, the right option, names, the abstain column, and how many were left out why."""

    logits: Float[np.ndarray, "n K"]
    labels: Int[np.ndarray, " n"]
    ids: tuple[str, ...]
    abstain_index: int | None
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_options(path: Path, reading: Reading, subject: str | None = None) -> OptionSet:
    """The questions in a file (of one subject, where it holds several); RequestError says what was expected."""
    if not path.is_file():
        raise RequestError(f"a file of option log-likelihoods should be at {path}, but there is none")
    names = path.name.lower()
    if names.endswith((".jsonl", ".json")):
        found = _from_samples(path, reading)
    elif names.endswith((".csv", ".csv.gz")):
        found = _from_predictions(path, reading)
    elif names.endswith((".npz", ".npy", ".pt", ".safetensors")):
        found = _from_arrays(path, reading, subject)
    else:
        raise RequestError(f"{path} should be .jsonl (lm-evaluation-harness), .npz or .csv; save the arrays as .npz")
    if not np.isfinite(found.logits).all():
        row = int(np.flatnonzero(~np.isfinite(found.logits).all(axis=1))[0])
        raise RequestError(f"log-likelihoods should be finite, got {found.logits[row]} for {found.ids[row]} in {path}")
    return found


# -- plain arrays -------------------------------------------------------------------------------------------------------


def _from_arrays(path: Path, reading: Reading, subject: str | None) -> OptionSet:
    arrays = read_arrays(path)
    if "loglik" in arrays and "truth" in arrays:
        logits, labels = arrays["loglik"].astype(np.float64), arrays["truth"].astype(np.int64)
        return _checked(path, logits, labels, tuple(map(str, range(len(labels)))), reading)
    subjects = [name.removesuffix("_scores") for name in arrays if name.endswith("_scores")]
    if not subjects:
        raise RequestError(
            f"{path} should hold loglik and truth, or X_scores and X_targets for each subject X; it holds "
            f"{', '.join(arrays) or 'nothing'}"
        )
    if subject is not None and subject not in subjects:
        raise unknown(f"subject of {path.name}", subject, subjects)
    parts = [_subject(path, arrays, name, reading.prompt) for name in sorted(subjects) if subject in (None, name)]
    return _checked(
        path,
        np.concatenate([logits for logits, _, _ in parts]),
        np.concatenate([labels for _, labels, _ in parts]),
        tuple(name for _, _, ids in parts for name in ids),
        reading,
    )


def _subject(
    path: Path, arrays: Mapping[str, np.ndarray], name: str, prompt: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    scores, targets = arrays[f"{name}_scores"], arrays.get(f"{name}_targets")
    if targets is None:
        raise RequestError(f"{path} has {name}_scores and should have {name}_targets beside them")
    if scores.ndim == 3:
        if not 0 <= prompt < len(scores):
            raise RequestError(f"{path} has {len(scores)} prompts of {name}, numbered from 0, got --prompt {prompt}")
        scores = scores[prompt]
    if (scores <= 0).any():
        raise RequestError(f"the probabilities {name}_scores of {path} should be > 0, got {scores.min():g}")
    return np.log(scores.astype(np.float64)), targets.astype(np.int64), [f"{name}/{i}" for i in range(len(targets))]


def _checked(path: Path, logits: np.ndarray, labels: np.ndarray, ids: tuple[str, ...], reading: Reading) -> OptionSet:
    if logits.ndim != 2 or len(logits) != len(labels):
        raise RequestError(f"{path} should have one row of options per question, got {logits.shape} for {len(labels)}")
    abstain: int | None = None
    if reading.abstain == ABSTAIN_LAST:
        abstain = logits.shape[1] - 1
    elif reading.abstain.isdigit():
        abstain = int(reading.abstain)
    elif reading.abstain != ABSTAIN_NONE:
        raise RequestError(f"{path} knows no texts of options: --abstain takes none, last or a number there")
    return OptionSet(logits, labels, ids, abstain)


# -- hard predictions ---------------------------------------------------------------------------------------------------


def _from_predictions(path: Path, reading: Reading) -> OptionSet:
    """Each question's three (or more) options, the unknown one last; unmatched predictions (-1) are left out."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    columns = list(rows[0]) if rows else []
    predictions = [name for name in columns if name.startswith("pred")]
    column = reading.column or (predictions[0] if len(predictions) == 1 else None)
    if column is None or column not in columns or not {"label", "unknown_idx"} <= set(columns):
        raise RequestError(
            f"{path} should have the columns label, unknown_idx and one of predictions named by --prediction; "
            f"it has {', '.join(columns) or 'none'}"
        )
    try:
        table = np.array(
            [[int(row["label"]), int(row["unknown_idx"]), int(row[column])] for row in rows], dtype=np.int64
        )
    except ValueError as error:
        raise RequestError(f"{path}: label, unknown_idx and {column} should be whole numbers: {error}") from error
    k = int(table.max()) + 1
    named = [name for name in ("category", "example_id") if name in columns]
    ids = ["/".join([*(row[name] for name in named), str(i)]) for i, row in enumerate(rows)]
    kept = table[:, 2] >= 0
    label, unknown_at, chosen = table[kept].T
    order = _abstain_last(unknown_at, k)
    place = np.argsort(order, axis=1)  # where each option went
    row = np.arange(len(label))
    logits = np.full((len(label), k), HARD)
    logits[row, place[row, chosen]] = 0.0
    return OptionSet(
        logits,
        place[row, label],
        tuple(name for name, keep in zip(ids, kept, strict=True) if keep),
        k - 1,
        {f"no prediction in {column}": int((~kept).sum())} if not kept.all() else {},
    )


def _abstain_last(column: Int[np.ndarray, " n"], k: int) -> Int[np.ndarray, "n K"]:
    """The options of each row in order, the abstain one moved to the end."""
    rest = np.tile(np.arange(k), (len(column), 1))
    order: np.ndarray = np.argsort(np.where(rest == column[:, None], k, rest), axis=1, kind="stable")
    return order


# -- lm-evaluation-harness ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Question:
    name: str
    loglik: tuple[float, ...]
    texts: tuple[str, ...]
    label: int


def _from_samples(path: Path, reading: Reading) -> OptionSet:
    questions: list[_Question] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            questions.append(_question(line, f"line {number} of {path}"))
    if not questions:
        raise RequestError(f"{path} should hold a sample per line, but has none; run the harness with --log_samples")
    sizes = Counter(len(question.loglik) for question in questions)
    wanted = reading.options or next(iter(sizes))
    if len(sizes) > 1 and reading.options is None:
        counts = ", ".join(f"{count} with {size}" for size, count in sorted(sizes.items()))
        raise RequestError(
            f"the questions of {path} should have equally many options, got {counts}; choose with --options K"
        )
    kept = [question for question in questions if len(question.loglik) == wanted]
    if not kept:
        raise RequestError(f"no question of {path} has {wanted} options; there are {sorted(sizes)}")
    left_out = {f"not {wanted} options": len(questions) - len(kept)} if len(kept) < len(questions) else {}
    values = np.array([question.loglik for question in kept])
    if reading.normalise == "characters":
        values = values / np.array([[max(len(text), 1) for text in question.texts] for question in kept])
    labels = np.array([question.label for question in kept])
    column = _abstain_columns(kept, reading.abstain, path)
    if column is not None:
        order = _abstain_last(column, wanted)
        values = np.take_along_axis(values, order, axis=1)
        labels = np.argsort(order, axis=1)[np.arange(len(labels)), labels]
    return OptionSet(
        values, labels, tuple(question.name for question in kept), None if column is None else wanted - 1, left_out
    )


def _question(line: str, where: str) -> _Question:
    try:
        sample = json.loads(line)
        responses = sample.get("filtered_resps") or sample["resps"]
        loglik = tuple(float(_first(response)) for response in responses)
        texts = tuple(str(text) for text in _continuations(sample["arguments"], len(loglik)))
        name = str(sample.get("doc_id", sample.get("doc_hash", where)))
        label = _target(sample["target"], texts)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise RequestError(
            f"{where} should be a multiple-choice sample of lm-evaluation-harness (doc_id, target, arguments, resps), "
            f"got {type(error).__name__}: {error}"
        ) from error
    return _Question(name, loglik, texts, label)


def _first(response: Any) -> float:
    """The log-likelihood in [loglik, is_greedy], however deeply the harness nests it."""
    while isinstance(response, list):
        response = response[0]
    return float(response)


def _continuations(arguments: Any, count: int) -> Sequence[str]:
    """The text of each option: the second argument of each request."""
    if isinstance(arguments, Mapping):  # newer versions write {"gen_args_0": {"arg_0": ..., "arg_1": ...}, ...}
        arguments = [[entry["arg_0"], entry["arg_1"]] for entry in arguments.values()]
    texts = [entry[1] for entry in arguments]
    if len(texts) < count:
        raise ValueError(f"{count} responses to {len(texts)} requests")
    return texts[:count]  # tasks with mutual information ask each option twice, the plain ones first


def _target(target: Any, texts: Sequence[str]) -> int:
    """The right option: its number, or its text."""
    if isinstance(target, list):
        (target,) = target
    if isinstance(target, int) and not isinstance(target, bool):
        place = target
    elif _plain(str(target)) in map(_plain, texts):
        place = [_plain(text) for text in texts].index(_plain(str(target)))
    else:
        place = int(target)
    if not 0 <= place < len(texts):
        raise ValueError(f"target {target!r} names none of {len(texts)} options")
    return place


def _abstain_columns(questions: Sequence[_Question], abstain: str, path: Path) -> np.ndarray | None:
    if abstain == ABSTAIN_NONE:
        return None
    if abstain == ABSTAIN_LAST:
        return np.array([len(question.texts) - 1 for question in questions])
    if abstain.isdigit():
        return np.full(len(questions), int(abstain))
    places = []
    for question in questions:
        found = [i for i, text in enumerate(question.texts) if _plain(text) == _plain(abstain)]
        if len(found) != 1:
            raise RequestError(
                f"question {question.name} of {path} should have one option {abstain!r}, got: {', '.join(question.texts)}"
            )
        places.append(found[0])
    return np.array(places)


def _plain(text: str) -> str:
    return text.strip().strip(".").lower()
