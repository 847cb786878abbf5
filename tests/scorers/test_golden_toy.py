"""Scores that pytorch-ood 0.4.0 gave on a closed-form toy problem (its sign: higher = OOD), against ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from support import Problem, score

# By the library's name: our spec, and whether the values agree too or, where its scale or zero differ, the order alone.
AGREE = {
    "MaxSoftmax": ("msp", "order"),  # ours is the log
    "MaxLogit": ("maxlogit", "values"),
    "EnergyBased t=1": ("energy", "values"),
    "EnergyBased t=2": ("energy:temperature=2", "values"),
    "Entropy": ("entropy", "values"),
    "GEN g=.1": ("gen", "order"),  # a mean there, a sum here
    "GEN g=.1 M=2": ("gen:m=2", "order"),
    "KLMatching": ("klm", "values"),
    # its 50 steps of L-BFGS stop at T = 0.769, far from the converged 0.551: MSP at that temperature
    "TemperatureScaling": ("odin-t:temperature=0.769", "order"),
    "Mahalanobis": ("mds", "order"),  # covariance not divided by n
    "RMD": ("rmds", "order"),
    "GMM": ("gmm:density=mixture", "order"),  # 1e-6 on every diagonal there, relative to the mean variance here
    "OpenMax(10,3,.5)": ("openmax:alpha=3,tail=10,euclid_weight=0.5,rows=label", "order"),  # ours is the log-odds
    "KNN k=5 raw": ("knn:k=5,unit=false", "values"),
    "KNN k=1 norm": ("knn:k=1", "values"),
    "KNN k=5 norm": ("knn:k=5", "values"),
    "ViM d=2": ("vim:dim=2", "values"),
    "ViM d=4": ("vim:dim=4", "values"),
    "SHE": ("she", "values"),
    "NNGuide k=5": ("nnguide:k=5", "values"),
    "fDBD": ("fdbd", "order"),  # a mean over the K - 1 boundaries there, a sum here
    "NCI a=0": ("nci:alpha=0", "values"),
    "NCI a=.1": ("nci:alpha=0.1", "values"),
    "DICE p=.5": ("dice:p=50", "values"),
    "LTS p=.25": ("lts:p=75", "values"),  # keeps 25 %
    "ReAct .9": ("react:q=0.9", "values"),
    "ASH ash-s": ("ash-s:p=50", "values"),
    "ASH ash-p": ("ash-p:p=50", "values"),
    "ASH ash-b": ("ash-b:p=50", "order"),  # in two rows zeros tie for the last places, and topk takes others than we do
    "SCALE .5": ("scale:p=50", "values"),
    # not the authors' way (zero below the lower bound), but ours has a switch for it
    "VRA": ("vra:low=0.01,high=0.99,below=clip", "values"),
}
OF_THEIR_OWN = {"PNML": "not among our scorers"}
# The golden values are float32 results printed to 8 digits: values are good to 1e-6 of the spread of the scores, and two
# rows nearer to each other than that have no order.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Golden:
    problem: Problem
    scores: dict[str, np.ndarray]


@cache
def load(shared: Path) -> Golden:
    data = json.loads((shared / "golden" / "scorers_toy.json").read_text())
    weight, bias, labels = np.array(data["W"]), np.array(data["b"]), np.array(data["train_y"])
    fit, test = np.array(data["train_z"]), np.array(data["test_z"])
    id_fit = (fit, fit @ weight.T + bias, labels)
    sets = {"fit": id_fit, "val": id_fit, "test": (test, test @ weight.T + bias, np.zeros(len(test), dtype=np.int64))}
    scores = {name: np.array(entry["scores"]) for name, entry in data["scores"].items()}
    return Golden(Problem(weight, bias, sets), scores)


@pytest.fixture
def golden(shared: Path) -> Golden:
    return load(shared)


def out_of_order(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Neighbours in their order that are further apart than the tolerance and stand the other way round in ours."""
    order = np.argsort(theirs, kind="stable")
    apart = np.diff(theirs[order]) > TOLERANCE * np.ptp(theirs)
    turned = np.diff(ours[order]) < -TOLERANCE * np.ptp(ours)
    return int((apart & turned).sum())


def test_every_golden_scorer_is_looked_at(golden: Golden) -> None:
    assert set(golden.scores) == AGREE.keys() | OF_THEIR_OWN.keys()


@pytest.mark.parametrize("name", AGREE)
def test_same_order_and_where_the_scale_is_one_the_same_values(golden: Golden, name: str) -> None:
    spec, agree = AGREE[name]
    ours, theirs = -score(spec, golden.problem), golden.scores[name]
    assert out_of_order(ours, theirs) == 0
    assert spearmanr(ours, theirs).statistic > 1 - 1e-6  # what ties within the tolerance may cost
    if agree == "values":
        # float32 arithmetic of magnitudes up to the largest score: a few units in the last place
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * max(1.0, np.abs(theirs).max()))


def test_ash_b_differs_where_zeros_tie_and_nowhere_else(golden: Golden) -> None:
    ours, theirs = -score("ash-b:p=50", golden.problem), golden.scores["ASH ash-b"]
    differ = np.abs(ours - theirs) > 1e-5
    rows = golden.problem.features("test")[differ]
    assert differ.sum() == 2
    assert ((rows > 0).sum(axis=1) < 6).all()  # six are kept, so zeros are among them


def test_openmax_is_the_log_odds_of_their_probability(golden: Golden) -> None:
    """The golden was made in float32, where distances moved by 10000 are good to 1e-3; here theirs is asked in float64."""
    detector = pytest.importorskip("pytorch_ood.detector", reason="pytorch-ood is not installed")
    given = golden.problem
    spec, _ = AGREE["OpenMax(10,3,.5)"]
    unknown = 1 / (1 + np.exp(score(spec, given)))
    np.testing.assert_allclose(unknown, golden.scores["OpenMax(10,3,.5)"], rtol=0, atol=1e-3)
    logits, labels = torch.from_numpy(given.logits("fit")), torch.from_numpy(given.labels("fit"))
    theirs = detector.OpenMax(None, tailsize=10, alpha=3, euclid_weight=0.5).fit_logits(logits, labels)
    expected = theirs.predict_logits(torch.from_numpy(given.logits("test"))).numpy()
    # SciPy's Weibull fit stops at about 1e-7 of it
    np.testing.assert_allclose(unknown, expected, rtol=0, atol=1e-6)
