"""OpenMax against a loop over rows, classes and ranks with another solver for the Weibull law, and SciPy's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from direct import logits_bank, run
from scipy.special import expit
from support import problem, score

from ood_bench.errors import CannotScore
from ood_bench.scorers.openmax import Tails


def weibull(values: np.ndarray) -> tuple[float, float]:
    """Shape and scale of largest likelihood: the root of its derivative, on values over their largest."""
    ratio = values / values.max()
    logs = np.log(ratio)

    def slope(shape: float) -> float:
        powers = ratio**shape
        return float((powers * logs).sum() / powers.sum() - 1 / shape - logs.mean())

    shape = scipy.optimize.brentq(slope, 1e-3 / logs.std(), 1e3 / logs.std(), xtol=1e-300, rtol=1e-14)
    return shape, float(values.max() * (ratio**shape).mean() ** (1 / shape))


def naive(
    fit: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    alpha: int = 3,
    tail: int = 20,
    translate: float = 1e4,
    euclid: float = 1.0,
    correct: bool = True,
) -> list[float]:
    """P(unknown) of each row."""
    k = fit.shape[1]

    def apart(z: np.ndarray, mean: np.ndarray) -> float:
        cosine = float(z @ mean) / math.hypot(*z) / math.hypot(*mean)
        return euclid * math.dist(z, mean) + (1 - euclid) * (1 - cosine)

    laws = {}
    for c in range(k):
        rows = np.array([z for z, y in zip(fit, labels, strict=True) if y == c and (z.argmax() == c or not correct)])
        mean = rows.sum(axis=0) / len(rows)
        far = sorted(apart(z, mean) for z in rows)[-tail:]
        laws[c] = (mean, far[0], *weibull(np.array(far) - far[0] + translate))
    answers = []
    for z in logits:
        revised, unknown = z.astype(float).copy(), 0.0
        for rank, c in enumerate(np.argsort(-z)[:alpha]):
            mean, least, shape, scale = laws[c]
            moved = apart(z, mean) - least + translate
            w = -math.expm1(-((moved / scale) ** shape)) if moved > 0 else 0.0
            taken = z[c] * w * (alpha - rank) / alpha
            revised[c] -= taken
            unknown += taken
        powers = np.exp(np.append(revised, unknown) - max(revised.max(), unknown))
        answers.append(float(powers[-1] / powers.sum()))
    return answers


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("openmax", {}),
        ("openmax:alpha=7,tail=5", {"alpha": 7, "tail": 5}),
        ("openmax:translate=1", {"translate": 1.0}),
        ("openmax:alpha=100", {"alpha": 7}),
        ("openmax:translate=1,euclid_weight=0.3", {"translate": 1.0, "euclid": 0.3}),
        ("openmax:euclid_weight=0.0,rows=label,translate=1", {"translate": 1.0, "euclid": 0.0, "correct": False}),
    ],
)
def test_second_writing(spec: str, options: dict[str, Any]) -> None:
    given = problem()
    for name in ("test", "ood"):
        expected = naive(given.logits("fit"), given.labels("fit"), given.logits(name), **options)
        # 1e-9, but for what `translate` takes from the other writing: distances stand there behind 10000 + ...
        np.testing.assert_allclose(expit(-score(spec, given, name)), expected, rtol=1e-8)


def test_pytorch_oods_own_gives_the_same_probabilities() -> None:
    """Its mean is over all rows of a class and ours over the correct ones, so only these are given to both. It measures
    distances only to classes that the batch predicts, so all classes must be among the rows."""
    detector = pytest.importorskip("pytorch_ood.detector", reason="compares with pytorch-ood").OpenMax
    given = problem()
    logits, labels = given.logits("fit"), given.labels("fit")
    rows = np.vstack([given.logits("test"), given.logits("ood")])
    assert len(np.unique(rows.argmax(axis=1))) == 7
    right = logits.argmax(axis=1) == labels
    logits, labels = logits[right], labels[right]
    theirs = detector(None, tailsize=20, alpha=3, euclid_weight=1.0)
    theirs.fit_logits(torch.from_numpy(logits), torch.from_numpy(labels))
    scores, _ = run("openmax", logits_bank(rows), fit=logits_bank(logits, labels, name="fit"))
    expected = theirs.predict_logits(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(expit(-scores), expected, rtol=0, atol=1e-5)  # SciPy's simplex search stops there


def test_batches_change_nothing() -> None:
    given = problem()
    np.testing.assert_allclose(score("openmax", given, rows=17), score("openmax", given), rtol=1e-9)


def test_the_law_is_scipys() -> None:
    far = np.sort(scipy.stats.gamma(5).rvs((3, 20), random_state=0), axis=1)[:, ::-1].copy()
    tails = Tails.fitted_to(torch.from_numpy(far), 1.0)
    for row, c in zip(far, range(3), strict=True):
        shape, _, scale = scipy.stats.weibull_min.fit(row - row.min() + 1, floc=0)
        assert tails.shape[c].item() == pytest.approx(shape, rel=1e-3)
        assert tails.log_scale[c].exp().item() == pytest.approx(scale, rel=1e-3)


def test_a_class_without_a_correct_row_is_not_revised() -> None:
    given = problem()
    labels = np.where(given.labels("fit") == 2, 3, given.labels("fit"))
    rows = given.logits("test")
    rows = rows[rows.argmax(axis=1) == 2]
    fit = logits_bank(given.logits("fit"), labels, name="fit")
    scores, _ = run("openmax:alpha=1", logits_bank(rows), fit=fit)
    np.testing.assert_allclose(scores, np.log(np.exp(rows).sum(axis=1)), rtol=1e-9)


def test_degenerate_tails_give_numbers_and_no_correct_rows_a_refusal() -> None:
    same = logits_bank([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], [0, 0, 1, 1], name="fit")
    scores, _ = run("openmax", logits_bank([[2.0, 0.0], [9.0, 0.0], [1e4, -1e4]]), fit=same)
    assert np.isfinite(scores).all()
    assert scores[1] < 0  # far from all that was seen
    wrong = logits_bank([[2.0, 0.0], [0.0, 2.0]], [1, 0], name="fit")
    with pytest.raises(CannotScore, match="no row to group by correct class"):
        run("openmax", logits_bank([[2.0, 0.0]]), fit=wrong)
    single = logits_bank([[2.0, 0.0], [0.0, 2.0]], [0, 1], name="fit")
    with pytest.raises(CannotScore, match="two correctly classified fit rows"):
        run("openmax", logits_bank([[2.0, 0.0]]), fit=single)
