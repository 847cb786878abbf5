"""A fitted scorer with its threshold, for use elsewhere: saved as JSON and safetensors, applied to new tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from safetensors.torch import load_file, save_file
from torch import Tensor

from ood_bench.bank.memory import MemoryBank
from ood_bench.canonical import sha256_of_file
from ood_bench.engine import Learning, fit_all, score_bank
from ood_bench.errors import CannotScore, IntegrityError, RequestError
from ood_bench.files import read_json, write_atomically, write_json
from ood_bench.fitting import Fitted, View
from ood_bench.material import Material
from ood_bench.metrics.threshold import Rule, Threshold, conformal_p_values, threshold_at
from ood_bench.registry import load_all
from ood_bench.requirements import describe
from ood_bench.saving import decode, encode
from ood_bench.specs import Spec, parse_spec
from ood_bench.stream import Stream
from ood_bench.types import Head

SCHEMA = 1


@dataclass(frozen=True)
class Decisions:
    """What a detector says of each row: its score, whether it is accepted as ID, and its conformal p-value."""

    scores: Float[np.ndarray, " n"]
    accepted: Bool[np.ndarray, " n"]
    p_values: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted scorer, the head it reads, a threshold, and the calibration scores behind p-values."""

    model: str
    fitted: Fitted
    head: Head | None
    neighbours: MemoryBank | None  # the fit rows, for scorers that search them
    threshold: Threshold
    calibration: Float[np.ndarray, " v"]
    reused: bool  # the scorer learnt from the calibration rows too, so a guarantee does not hold exactly

    @property
    def spec(self) -> str:
        return str(self.fitted.spec)

    def score(self, **tensors: ArrayLike | Tensor) -> Float[np.ndarray, " n"]:
        """Scores of new rows, higher = more in-distribution; give `features`, `logits` or both, as the scorer needs."""
        bank = MemoryBank.of("new rows", model=self.model, head=self.head, **_tensors(tensors))
        learning = Learning(self.head, self.neighbours)
        stream = Stream(torch.device("cpu"), 1 << 30)
        done = score_bank([self.fitted], bank, learning, describe(learning, [bank]), stream)
        if done.refused:
            raise RequestError(f"{self.spec}: {done.refused[self.fitted.spec].reason}")
        return np.asarray(done.scores[self.fitted.spec].values)

    def __call__(self, **tensors: ArrayLike | Tensor) -> Decisions:
        """Scores, decisions and p-values of new rows."""
        scores = self.score(**tensors)
        return Decisions(scores, scores >= self.threshold.value, conformal_p_values(self.calibration, scores))

    def save(self, path: str | Path) -> Path:
        """Write PATH (JSON) and PATH with the suffix .safetensors beside it; returns the JSON's path."""
        target = Path(path).with_suffix(".json")
        tensors: dict[str, Tensor] = {"calibration": torch.from_numpy(self.calibration.copy())}
        state = encode(
            {
                "view": (self.fitted.view.key, self.fitted.view.rectifiers),
                "scorer": self.fitted.scorer,
                "head": self.head,
                "fit rows": None if self.neighbours is None else dict(self.neighbours.tensors),
            },
            tensors,
        )
        beside = target.with_suffix(".safetensors")
        write_atomically(beside, lambda temporary: save_file(tensors, str(temporary)))
        write_json(
            target,
            {
                "schema": SCHEMA,
                "scorer": self.spec,
                "version": self.fitted.spec.version,
                "model": self.model,
                "threshold": asdict(self.threshold),
                "learned_from_calibration": self.reused,
                "tensors": {"file": beside.name, "sha256": sha256_of_file(beside)},
                "state": state,
            },
        )
        return target


def load_detector(path: str | Path) -> Detector:
    """The detector that `save` (or `ood-bench threshold --out`) wrote; nothing is unpickled.

    Raises IntegrityError where the files are not what was written, or were made by another version of the scorer.
    """
    load_all()
    source = Path(path).with_suffix(".json")
    data = read_json(source, "a detector")
    if data.get("schema") != SCHEMA:
        raise IntegrityError(f"a detector should have schema {SCHEMA}, got {data.get('schema')!r} in {source}")
    try:
        beside = source.parent / Path(data["tensors"]["file"]).name
        if not beside.is_file() or sha256_of_file(beside) != data["tensors"]["sha256"]:
            raise IntegrityError(f"the tensors of {source} should lie unchanged in {beside}; save the detector again")
        tensors = load_file(beside)
        spec = parse_spec(data["scorer"])
        if spec.version != data["version"]:
            raise IntegrityError(
                f"{source} was made with version {data['version']} of {spec.name}, this is {spec.version}; make it again"
            )
        state = cast("dict[str, Any]", decode(data["state"], tensors, str(source)))
        key, rectifiers = state["view"]
        head = state["head"]
        rows = state["fit rows"]
        return Detector(
            model=data["model"],
            fitted=Fitted(spec, View(key, rectifiers), state["scorer"]),
            head=head,
            neighbours=None if rows is None else MemoryBank.of("fit", model=data["model"], head=head, **rows),
            threshold=Threshold(**data["threshold"]),
            calibration=tensors["calibration"].numpy(),
            reused=bool(data["learned_from_calibration"]),
        )
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{source} is not a whole detector ({error}); save it again") from error


def make_detector(material: Material, spec: Spec, rule: Rule, level: float, stream: Stream) -> Detector:
    """Fit a scorer on a suite's banks and set its threshold on the ID validation set.

    Raises RequestError where there is no validation set or the scorer cannot run; the reason names the remedy.
    """
    learning = material.learning
    try:
        val = learning.bank("val")
    except CannotScore as error:
        raise RequestError(f"a threshold is set on held-out ID rows, so it {error}") from error
    info = describe(learning, [val])
    try:
        spec = spec.resolved(info)
    except (CannotScore, AssertionError) as error:
        raise RequestError(f"{spec}: {str(error) or 'needs shapes that the banks do not have'}") from error
    fits = fit_all([spec], learning, info, stream)
    if fits.refused:
        raise RequestError(f"{spec}: {fits.refused[spec].reason}")
    fitted = fits.fitted[spec]
    done = score_bank([fitted], val, learning, info, stream)
    if done.refused:
        raise RequestError(f"{spec}: {done.refused[spec].reason}")
    calibration = np.asarray(done.scores[spec].values)
    try:
        threshold = threshold_at(calibration, rule, level)
    except ValueError as error:
        raise RequestError(f"--at: {error}") from error
    asked_val = any(one.split == "val" for one in fits.passes)
    return Detector(
        material.model, fitted, learning.head, _fit_rows(fitted, learning), threshold, calibration, asked_val
    )


def _fit_rows(fitted: Fitted, learning: Learning) -> MemoryBank | None:
    """The whole fit bank, where the scorer searches it for neighbours."""
    if not fitted.neighbours:
        return None
    bank = learning.bank("fit")
    names = [name for name in ("features", "logits", "labels") if name in bank.inputs]
    tensors: dict[str, Any] = {name: bank.read(name) for name in names}
    return MemoryBank.of("fit", model=bank.model, head=learning.head, **tensors)


def _tensors(given: Mapping[str, ArrayLike | Tensor]) -> dict[str, Any]:
    return {name: torch.as_tensor(value) for name, value in given.items()}
