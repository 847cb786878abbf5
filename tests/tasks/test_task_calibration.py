"""Calibrators and what is measured of them, against the metric functions on whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from support import Problem, problem

import ood_bench
from ood_bench.metrics import calibration as metrics
from ood_bench.tasks.calibrators import fit_one_versus_rest, fit_vector

PLAIN = problem(5, n=400)


def _noisy() -> Problem:
    """With one label in seven drawn anew: no calibrator can be sure of everything."""
    rng = np.random.default_rng(5)
    sets = {}
    for name, (features, logits, labels) in PLAIN.sets.items():
        drawn = rng.integers(0, 7, len(labels))
        sets[name] = features, logits, np.where(rng.random(len(labels)) < 1 / 7, drawn, labels)
    return Problem(PLAIN.weight, PLAIN.bias, sets)


GIVEN = _noisy()


def data(**changes: object) -> dict[str, object]:
    sets = {name: {"logits": 3 * GIVEN.logits(name), "labels": GIVEN.labels(name)} for name in ("val", "test")}
    return {**sets, **changes}


@pytest.fixture(scope="module")
def rows() -> dict[str, ood_bench.tasks.row.TaskRow]:  # type: ignore[name-defined]  # loaded with the API
    results = ood_bench.evaluate(data(), tasks="calibration", device="cpu")
    return {row.spec or "": row for row in results.tasks["calibration"].rows}


def test_as_it_is(rows: dict[str, object]) -> None:
    values = rows["none"].values  # type: ignore[attr-defined]
    z, y = 3 * GIVEN.logits("test"), GIVEN.labels("test")
    p = softmax(z, axis=1)
    top, right = p.max(1), z.argmax(1) == y
    expected = {
        "accuracy": right.mean(),
        "nll": metrics.nll_of_logits(z, y),
        "brier": metrics.brier(p, y),
        "ece": metrics.ece(top, right),
        "ece_equal_mass": metrics.ece_equal_mass(top, right),
        "ece_classwise": metrics.ece_classwise(p, y),
        "smooth_ece": metrics.smooth_ece(top, right),
        "mce": metrics.mce(top, right),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-9), name


def test_every_calibrator_mends_overconfidence(rows: dict[str, object]) -> None:
    """The logits were tripled, so the classifier is too sure."""
    ece = {name: row.values["ece"] for name, row in rows.items()}  # type: ignore[attr-defined]
    assert set(ece) == {"none", "temperature", "vector", "isotonic", "histogram"}
    assert all(value < ece["none"] for name, value in ece.items() if name != "none"), ece
    assert rows["temperature"].values["nll"] < rows["none"].values["nll"]  # type: ignore[attr-defined]


def test_temperature_changes_no_prediction(rows: dict[str, object]) -> None:
    assert rows["temperature"].values["accuracy"] == rows["none"].values["accuracy"]  # type: ignore[attr-defined]


def test_vector_scaling_is_at_a_minimum() -> None:
    z, y = GIVEN.logits("val"), GIVEN.labels("val")
    fitted = fit_vector(z, y, torch.device("cpu"))
    centred = z - z.mean(1, keepdims=True)
    scale, shift = np.asarray(fitted.scale), np.asarray(fitted.shift)

    def loss(a: np.ndarray, b: np.ndarray) -> float:
        return metrics.nll_of_logits(centred * a + b, y)

    best = loss(scale, shift)
    assert best < metrics.nll_of_logits(z, y)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert loss(scale + rng.normal(0, 0.01, len(scale)), shift + rng.normal(0, 0.01, len(shift))) > best - 1e-9


def test_one_versus_rest_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    y = np.array([0, 1, 1, 1])
    isotonic = fit_one_versus_rest(p, y, "isotonic")
    np.testing.assert_allclose([np.interp(v, isotonic.x[0], isotonic.y[0]) for v in p[:, 0]], [1, 0, 0, 0], atol=1e-12)
    histogram = fit_one_versus_rest(p, y, "histogram")
    assert (histogram.y[0][13], histogram.y[0][12]) == (1.0, 0.0)  # 0.9 and 0.8 of 15 bins
    assert histogram.y[0][7] == pytest.approx(0.5)  # an empty cell keeps its middle


def test_without_validation_the_rest_still_stands() -> None:
    results = ood_bench.evaluate({"test": data()["test"]}, tasks="calibration", device="cpu")
    rows = {row.spec: row for row in results.tasks["calibration"].rows}
    assert rows["none"].status == "ok"
    assert rows["vector"].status == "skipped"
    assert "name the ID validation set with --val" in (rows["vector"].reason or "")
    (diagram,) = results.tasks["calibration"].details["reliability"]  # type: ignore[misc]
    assert sum(diagram["count"]) == 400
    assert len(diagram["edges"]) == 16
