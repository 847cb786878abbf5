"""Calibrators: maps of probabilities, learnt on labelled ID validation, and what is measured of each on a target."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from ood_bench.bank.base import Bank
from ood_bench.batch import Batch
from ood_bench.columns import logits, probabilities
from ood_bench.conversation import Ask
from ood_bench.errors import CannotScore
from ood_bench.metrics.calibration import BINS, reliability, reliability_equal_mass, smooth_ece
from ood_bench.reductions import Collect, Split
from ood_bench.scorers.tempscale import best_temperature
from ood_bench.tasks.methods import Answered
from ood_bench.tasks.row import Value
from ood_bench.types import LOGITS, VAL, VAL_LABELS, Head, Info

Kind = Literal["none", "temperature", "vector", "isotonic", "histogram"]
KINDS: tuple[Kind, ...] = ("none", "temperature", "vector", "isotonic", "histogram")


@runtime_checkable
class Calibrated(Protocol):
    """A fitted calibrator."""

    def log_probabilities(self, batch: Batch) -> Float[Tensor, "n K"]:
        """In float64; minus infinity where a probability is 0."""

    def learned(self) -> dict[str, object]: ...


@dataclass(frozen=True, eq=False)
class Scaled:
    """log softmax(z * scale + shift); temperature scaling is scale = 1 / T."""

    scale: Float[Tensor, " K"] | float
    shift: Float[Tensor, " K"] | float
    facts: Mapping[str, object]

    def log_probabilities(self, batch: Batch) -> Float[Tensor, "n K"]:
        return torch.log_softmax(batch.double.logits * self.scale + self.shift, dim=1)

    def learned(self) -> dict[str, object]:
        return dict(self.facts)


@dataclass(frozen=True, eq=False)
class OneVersusRest:
    """Each class's probability through its own non-decreasing (or binned) map, rows divided by their sum.

    A row whose maps all give 0 keeps its uncalibrated probabilities.
    """

    x: tuple[Float[np.ndarray, " _"], ...]
    y: tuple[Float[np.ndarray, " _"], ...]
    is_step: bool

    def log_probabilities(self, batch: Batch) -> Float[Tensor, "n K"]:
        p = batch.double.probabilities.cpu().numpy()
        mapped = np.stack([self._map(k, p[:, k]) for k in range(p.shape[1])], axis=1)
        total = mapped.sum(axis=1, keepdims=True)
        mapped = np.where(total > 0, mapped / np.where(total > 0, total, 1.0), p)
        return torch.from_numpy(mapped).to(batch.device).log()

    def _map(self, k: int, p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        if self.is_step:
            cells: np.ndarray = self.y[k][np.minimum((p * len(self.y[k])).astype(np.int64), len(self.y[k]) - 1)]
            return cells
        mapped: np.ndarray = np.interp(p, self.x[k], self.y[k])
        return mapped

    def learned(self) -> dict[str, object]:
        return {}


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibrator, as a method of the task `calibration`; `none` measures the classifier as it is."""

    name: Kind
    task: str = "calibration"
    origin: str = "ours"
    plugin_sha256: str | None = None

    @property
    def spec(self) -> str:
        return self.name

    @property
    def version(self) -> str:
        return "1"

    @property
    def params(self) -> Mapping[str, Value]:
        return {"bins": BINS}

    @property
    def needs(self) -> tuple[str, ...]:
        return (LOGITS,) if self.name == "none" else (LOGITS, VAL, VAL_LABELS)

    def resolved(self, info: Info) -> Calibration:
        return self

    def fit(self, head: Head | None, info: Info) -> Generator[Ask, Any, Calibrated]:
        if self.name == "none":
            return Scaled(1.0, 0.0, {})
            yield  # a conversation that asks nothing
        if self.name == "temperature":
            temperature = yield from best_temperature()
            return Scaled(1 / temperature, 0.0, {"temperature": temperature})
        if self.name == "vector":
            z, y = yield Collect(logits, "val"), Collect(labels, "val")
            return fit_vector(z.double().cpu().numpy(), y.long().cpu().numpy(), z.device)
        p, y = yield Collect(probabilities, "val"), Collect(labels, "val")
        return fit_one_versus_rest(p.cpu().numpy(), y.long().cpu().numpy(), self.name)

    def ask(self, fitted: Calibrated, target: Bank) -> Generator[Ask, Any, Answered]:
        if not target.has_labels:
            raise CannotScore(f"{target.set} has no labels, so nobody knows how true the probabilities are")
        rows, excess = yield Collect(CalibrationColumns(fitted), "target"), ClasswiseExcess(fitted)
        values, tables = measured(rows.cpu().numpy(), excess)
        note = {} if values["nll"] is not None else {"note": "NLL is infinite: a label has probability 0"}
        return Answered(values, {**fitted.learned(), **note}, tables)


def labels(batch: Batch) -> Float[Tensor, " n"]:
    """Class numbers, exact in float64."""
    return batch.labels.double()


def fit_vector(z: Float[np.ndarray, "n K"], y: Int[np.ndarray, " n"], device: torch.device) -> Scaled:
    """Vector scaling (Guo et al., ICML 2017): a scale and a shift per class, of least negative log-likelihood.

    Convex in both; L-BFGS from the uncalibrated logits to a gradient of 1e-7.
    """
    n, k = z.shape
    z = z - z.mean(axis=1, keepdims=True)
    target = np.zeros((n, k))
    target[np.arange(n), y] = 1.0

    def loss(theta: Float[np.ndarray, " m"]) -> tuple[float, Float[np.ndarray, " m"]]:
        scores = z * theta[:k] + theta[k:]
        scores -= scores.max(axis=1, keepdims=True)
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        residual = (np.exp(log_p) - target) / n
        return -float((log_p * target).sum() / n), np.concatenate([(residual * z).sum(axis=0), residual.sum(axis=0)])

    start = np.concatenate([np.ones(k), np.zeros(k)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-7, "ftol": 1e-14})
    scale, shift = (torch.from_numpy(part.copy()).to(device) for part in (found.x[:k], found.x[k:]))
    return CentredScaled(scale, shift, {"converged": bool(found.success), "iterations": int(found.nit)})


@dataclass(frozen=True, eq=False)
class CentredScaled(Scaled):
    """Vector scaling of logits less their mean: with a scale per class the logits' origin matters, and is fixed here."""

    def log_probabilities(self, batch: Batch) -> Float[Tensor, "n K"]:
        centred = batch.double.logits - batch.double.mean_logit[:, None]
        return torch.log_softmax(centred * self.scale + self.shift, dim=1)


def fit_one_versus_rest(
    p: Float[np.ndarray, "n K"], y: Int[np.ndarray, " n"], kind: Literal["isotonic", "histogram"]
) -> OneVersusRest:
    """Isotonic regression or histogram binning of each class against the rest (Zadrozny & Elkan, KDD 2002).

    The histogram has 15 cells [lo, hi) of equal width; a cell without validation rows maps to its own middle.
    """
    from sklearn.isotonic import IsotonicRegression  # not at the top: it takes seconds, and only this needs it

    xs, ys = [], []
    for k in range(p.shape[1]):
        hit = (y == k).astype(np.float64)
        if kind == "isotonic":
            curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p[:, k], hit)
            xs.append(np.asarray(curve.X_thresholds_))
            ys.append(np.asarray(curve.y_thresholds_))
            continue
        cell = np.minimum((p[:, k] * BINS).astype(np.int64), BINS - 1)
        count = np.bincount(cell, minlength=BINS)
        middle = (np.arange(BINS) + 0.5) / BINS
        xs.append(np.linspace(0, 1, BINS + 1))
        ys.append(np.where(count > 0, np.bincount(cell, weights=hit, minlength=BINS) / np.maximum(count, 1), middle))
    return OneVersusRest(tuple(xs), tuple(ys), kind == "histogram")


@dataclass(frozen=True)
class CalibrationColumns:
    """A row's log p of its label, sum of p^2, largest p and whether that class is the label; without a label NaN."""

    calibrated: Calibrated

    def __call__(self, batch: Batch) -> Float[Tensor, "n 4"]:
        log_p = batch.once(("calibrated", id(self.calibrated)), lambda: self.calibrated.log_probabilities(batch))
        p = log_p.exp()
        top, predicted = p.max(dim=1)
        chosen = log_p.gather(1, batch.labels.clamp_min(0)[:, None]).squeeze(1)
        rows = torch.stack([chosen, p.square().sum(dim=1), top, (predicted == batch.labels).double()], dim=1)
        return rows.masked_fill((batch.labels < 0)[:, None], torch.nan)


@dataclass(frozen=True)
class ClasswiseExcess:
    """Sum over all class-bin cells of |rows times (mean p_k - share of label k)|, over n K: the classwise ECE."""

    calibrated: Calibrated
    split: Split = "target"

    def add(self, partial: tuple[int, Tensor] | None, batch: Batch) -> tuple[int, Tensor]:
        known = batch.labels >= 0
        log_p = batch.once(("calibrated", id(self.calibrated)), lambda: self.calibrated.log_probabilities(batch))
        p, y = log_p.exp()[known], batch.labels[known]
        k = p.shape[1]
        cell = (p * BINS).long().clamp_max(BINS - 1) + BINS * torch.arange(k, device=p.device)
        excess = p.scatter_add(1, y[:, None], torch.full_like(p[:, :1], -1.0))
        summed = torch.zeros(k * BINS, dtype=torch.float64, device=p.device)
        summed.index_add_(0, cell.reshape(-1), excess.reshape(-1))
        here = (len(p) * k, summed)
        return here if partial is None else self.merge(partial, here)

    def merge(self, a: tuple[int, Tensor], b: tuple[int, Tensor]) -> tuple[int, Tensor]:
        return a[0] + b[0], a[1] + b[1]

    def result(self, partial: tuple[int, Tensor]) -> float:
        return float(partial[1].abs().sum()) / partial[0]


def measured(
    rows: Float[np.ndarray, "n 4"], classwise: float
) -> tuple[dict[str, Value], dict[str, list[float | None]]]:
    """The task's values, and the reliability diagram as columns, from the columns of the labelled rows."""
    log_p, squares, top, right = rows[~np.isnan(rows[:, 0])].T
    top, correct = np.clip(top, 0.0, 1.0), right.astype(bool)
    diagram, mass = reliability(top, correct), reliability_equal_mass(top, correct)
    values: dict[str, Value] = {
        "accuracy": float(right.mean()),
        "confidence": float(top.mean()),
        "nll": None if np.isinf(log_p).any() else float(-log_p.mean()),
        "brier": float((squares - 2 * np.exp(log_p) + 1).mean()),
        "ece": diagram.ece(),
        "ece_equal_mass": mass.ece(),
        "ece_classwise": classwise,
        "smooth_ece": smooth_ece(top, correct),
        "mce": diagram.mce(),
    }
    tables = {name: [None if np.isnan(x) else float(x) for x in column] for name, column in asdict(diagram).items()}
    return values, tables
