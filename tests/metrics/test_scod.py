from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ood_bench.metrics.risk_coverage import aurc
from ood_bench.metrics.scod import CCR_RATES, ccr_at_fpr, oscr, oscr_curve, scod_curve, scod_metrics

GENERATOR = np.random.default_rng(11)
ID = GENERATOR.normal(1, 1, 300).round(1)
CORRECT = GENERATOR.uniform(size=300) < 1 / (1 + np.exp(-ID))
OOD = GENERATOR.normal(0, 1, 200).round(1)


def test_scod_is_right_against_wrong_or_ood() -> None:
    found = scod_metrics(ID, CORRECT, OOD)
    truth = np.concatenate((CORRECT, np.zeros(200, dtype=bool)))
    score = np.concatenate((ID, OOD))
    assert found.auroc == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert found.aurc == pytest.approx(aurc(score, truth), abs=1e-12)
    error = 1 - truth.mean()
    assert found.augrc == pytest.approx((1 - found.auroc) * error * (1 - error) + error**2 / 2, abs=1e-12)


def test_a_weight_of_two_is_every_ood_row_twice() -> None:
    once = scod_metrics(ID, CORRECT, OOD, ood_weight=2.0)
    twice = scod_metrics(ID, CORRECT, np.repeat(OOD, 2))
    assert (once.aurc, once.augrc) == pytest.approx((twice.aurc, twice.augrc), abs=1e-12)


def test_scod_risk_at_full_coverage_is_the_share_of_faults() -> None:
    weight = 300 / 200
    curve = scod_curve(ID, CORRECT, OOD, ood_weight=weight)
    assert curve.risk[-1] == pytest.approx(0.5 + 0.5 * (1 - CORRECT.mean()))


def test_oscr_is_the_area_under_its_curve() -> None:
    curve = oscr_curve(ID, CORRECT, OOD)
    assert (curve.fpr[0], curve.ccr[0]) == (0, 0)
    assert curve.ccr[-1] == CORRECT.mean()
    assert curve.fpr[-1] == (min(ID[CORRECT].min(), OOD.min()) <= OOD).mean()
    area = np.dot(np.diff(curve.fpr), (curve.ccr[1:] + curve.ccr[:-1]) / 2)
    assert oscr(ID, CORRECT, OOD) == pytest.approx(area, abs=1e-12)
    assert oscr(ID, np.zeros(300, dtype=bool), OOD) == 0


def test_ccr_accepts_no_more_ood_than_allowed() -> None:
    inside, correct = np.array([5.0, 4, 3, 2]), np.array([True, False, True, True])
    outside = np.array([4.5, 3.5, 2.5, 2.5])
    assert ccr_at_fpr(inside, correct, outside, 0.1) == 0.25
    assert ccr_at_fpr(inside, correct, outside, 0.25) == 0.25
    assert ccr_at_fpr(inside, correct, outside, 0.5) == 0.5
    assert ccr_at_fpr(inside, correct, outside, 0.75) == 0.5  # both rows at 2.5 or neither
    assert ccr_at_fpr(inside, correct, outside, 1.0) == 0.75


def test_ccr_at_the_usual_rates_against_the_definition() -> None:
    outside = GENERATOR.normal(0, 1, 20_000)
    for rate in CCR_RATES:
        best = max(
            (CORRECT & (t <= ID)).mean() for t in np.append(np.unique(ID), np.inf) if (outside >= t).mean() <= rate
        )
        assert ccr_at_fpr(ID, CORRECT, outside, rate) == best


def test_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="classified rightly, got none"):
        scod_metrics(ID, np.zeros(300, dtype=bool), OOD)
    with pytest.raises(ValueError, match="at least one OOD row"):
        scod_curve(ID, CORRECT, OOD[:0])
    with pytest.raises(ValueError, match="ID confidence: expected finite scores, got nan at row 0"):
        oscr(np.append(np.nan, ID[1:]), CORRECT, OOD)
    with pytest.raises(ValueError, match="expected a share"):
        ccr_at_fpr(ID, CORRECT, OOD, 0.0)
