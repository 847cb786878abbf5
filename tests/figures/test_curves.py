"""The points of pictures, against the metrics that they are pictures of."""

from __future__ import annotations

import numpy as np
import pytest

from ood_bench.figures.curves import TAIL, histograms, risk_coverage, roc
from ood_bench.figures.terminal import curve_text, histogram_text
from ood_bench.metrics.ood import auroc, fpr_at_tpr
from ood_bench.metrics.risk_coverage import aurc


@pytest.fixture(params=[None, 1], ids=["distinct", "tied"])
def scores(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    inside, outside = rng.normal(1, 1, 500), rng.normal(0, 1.3, 400)
    return (inside, outside) if request.param is None else (inside.round(request.param), outside.round(request.param))


def test_the_area_under_the_roc_curve_is_the_auroc(scores: tuple[np.ndarray, np.ndarray]) -> None:
    curve = roc(*scores)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert float(np.trapezoid(curve.y, curve.x)) == pytest.approx(auroc(*scores), abs=1e-12)
    assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(curve.y) >= 0).all()


def test_the_roc_curve_passes_through_fpr95(scores: tuple[np.ndarray, np.ndarray]) -> None:
    curve = roc(*scores)
    fpr = fpr_at_tpr(*scores, positive="id")
    assert curve.x[curve.y >= 0.95].min() == pytest.approx(fpr, abs=1e-12)


def test_the_height_at_a_step_is_its_upper_end() -> None:
    curve = roc(np.array([3.0, 2.0]), np.array([1.0, 0.0]))
    assert curve.at(np.array([0.0, 0.5, 1.0])).tolist() == [1, 1, 1]


def test_the_area_under_the_risk_coverage_curve_is_the_aurc() -> None:
    rng = np.random.default_rng(2)
    confidence, right = rng.random(300).round(2), rng.random(300) < 0.8
    curve = risk_coverage(confidence, right)
    area = float(np.trapezoid(np.append(curve.y[0], curve.y), np.append(0.0, curve.x)))
    assert area == pytest.approx(aurc(confidence, right), abs=1e-12)


def test_histograms_share_bins_and_lose_no_sample() -> None:
    rng = np.random.default_rng(4)
    drawn = histograms({"id": rng.normal(0, 1, 1000), "ood": np.append(rng.normal(3, 1, 999), 1e9)}, 20)
    assert len(drawn.edges) == 21
    assert [float(shares.sum()) for shares in drawn.shares.values()] == pytest.approx([1, 1])
    assert drawn.edges[-1] < 10  # one far sample does not flatten all others
    assert 0 < TAIL < 0.05


def test_a_constant_score_is_one_bar() -> None:
    drawn = histograms({"id": np.full(5, 2.0), "ood": np.full(7, 2.0)}, 4)
    assert [int((shares > 0).sum()) for shares in drawn.shares.values()] == [1, 1]
    assert drawn.edges[0] < 2 < drawn.edges[-1]


def test_a_histogram_on_a_terminal() -> None:
    text = histogram_text(np.array([2.0, 2.0, 1.0]), np.array([0.0, 0.0, 1.0]), ("ID", "OOD"), width=40, bins=3)
    top, middle, bottom = text.splitlines()[1:4]
    assert top.count("█") == bottom.count("░") > 0
    assert middle.count("█") == middle.count("░") == pytest.approx(top.count("█") / 2, abs=1)  # whole characters
    assert "░" not in top
    assert "█" not in bottom
    assert all(len(line) <= 90 for line in text.splitlines())


def test_a_curve_on_a_terminal_is_the_area_below_it() -> None:
    text = curve_text(roc(np.array([0.0, 1.0]), np.array([0.0, 1.0])), "x", "y", width=80)
    columns = [line[8:80] for line in text.splitlines()[1:13]]
    filled = sum(" ▁▂▃▄▅▆▇█".index(sign) / 8 for line in columns for sign in line.ljust(72))
    assert filled / (12 * 72) == pytest.approx(0.5, abs=0.02)  # the diagonal, in eighths of a character
