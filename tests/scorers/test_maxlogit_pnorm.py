"""MaxLogit-pNorm against its definition, and p against a search with an area computed by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from direct import logits_bank, run, softmax_rows
from support import fitted, problem, score

from ood_bench.errors import CannotScore


def naive(logits: np.ndarray, p: float) -> list[float]:
    scores = []
    for row in logits.tolist():
        mean = math.fsum(row) / len(row)
        centred = [z - mean for z in row]
        norm = math.fsum(abs(c) ** p for c in centred) ** (1 / p) if p else len(row)
        scores.append(max(centred) / norm)
    return scores


def area(confidence: list[float], wrong: np.ndarray) -> float:
    """Trapezia over coverage 0, 1/n, ..., 1 of the risk among the most confident; risk 0 at coverage 0."""
    errors, risks = 0.0, [0.0]
    for count, row in enumerate(sorted(range(len(wrong)), key=lambda i: -confidence[i]), start=1):
        errors += wrong[row]
        risks.append(errors / count)
    return math.fsum((a + b) / 2 / len(wrong) for a, b in itertools.pairwise(risks))


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 5.0, 9.0])
def test_second_writing(p: float) -> None:
    given = problem()
    expected = naive(given.logits("test"), p)
    np.testing.assert_allclose(score(f"maxlogit-pnorm:p={p}", given), expected, rtol=1e-9)
    if p > 0:
        np.testing.assert_allclose(score(f"logitnorm-sc:p={p}", given), expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_p_is_chosen_by_area_with_msp_to_fall_back_on(seed: int) -> None:
    given = problem(seed, k=12, d=16, relu=seed % 2 == 0)
    logits, labels = given.logits("val"), given.labels("val")
    if seed >= 3:  # rows of very different sizes, where a norm helps
        size = np.random.default_rng(seed).lognormal(0, 1.5, (len(logits), 1))
        given.sets["val"] = (given.features("val"), logits * size, labels)
        logits = logits * size
        bank = logits_bank(logits, labels, name="val")
        learned = run("maxlogit-pnorm", logits_bank(logits), val=bank)[1]
        learned_sc = run("logitnorm-sc", logits_bank(logits), val=bank)[1]
    else:
        learned = fitted("maxlogit-pnorm", given).learned
        learned_sc = fitted("logitnorm-sc", given).learned
    wrong = (logits.argmax(axis=1) != labels).astype(float)
    areas = {float(p): area(naive(logits, p), wrong) for p in range(11)}
    msp = area(np.log(softmax_rows(logits).max(axis=1)).tolist(), wrong)
    best = min(range(10), key=lambda p: areas[p])
    assert learned == {"p": float(best) if areas[best] < msp else "msp"}
    assert learned_sc == {"p": float(min(range(1, 11), key=lambda p: areas[p]))}


def test_both_outcomes_of_the_choice_occur() -> None:
    """A check of the test above: neither branch would go unseen."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    logits = 2 * np.eye(5)[labels] + rng.normal(size=(300, 5))
    stretched = logits * rng.lognormal(0, 2, (300, 1))
    outcomes = {
        name: run("maxlogit-pnorm", logits_bank(z), val=logits_bank(z, labels, name="val"))[1]["p"]
        for name, z in (("plain", logits), ("stretched", stretched))
    }
    assert outcomes["stretched"] != "msp"
    given = problem()
    assert fitted("maxlogit-pnorm", given).learned == {"p": "msp"}


def test_two_classes_fall_back_to_msp() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(50, 2))
    val = logits_bank(rng.normal(size=(80, 2)), rng.integers(0, 2, 80), name="val")
    scores, learned = run("maxlogit-pnorm", logits_bank(logits), val=val)
    assert learned == {"p": "msp"}
    np.testing.assert_allclose(scores, np.log(softmax_rows(logits).max(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(naive(logits, 3), 2 ** (-1 / 3), rtol=1e-12)  # why it must
    with pytest.raises(CannotScore, match=r"p=3 is the same for every row of 2 classes"):
        run("maxlogit-pnorm:p=3.0", logits_bank(logits))
    with pytest.raises(CannotScore, match="3 classes or more, got K=2"):
        run("logitnorm-sc", logits_bank(logits), val=val)


@pytest.mark.parametrize("name", ["maxlogit-pnorm", "logitnorm-sc"])
def test_auto_needs_labelled_validation_rows_and_a_number_needs_none(name: str) -> None:
    bank = logits_bank(problem().logits("test"))
    with pytest.raises(CannotScore, match="chooses p on labelled ID validation rows"):
        run(name, bank)
    assert np.isfinite(run(f"{name}:p=4.0", bank)[0]).all()


def test_edges_give_numbers() -> None:
    rows = [[0.1] * 4, [1e4, -1e4, -1e4, -1e4], [1e200, 0.0, 0.0, 0.0], [1e-200, 0.0, 0.0, 0.0]]
    scores, _ = run("maxlogit-pnorm:p=9.0", logits_bank(rows))
    one_hot = naive(np.array([[1.0, 0.0, 0.0, 0.0]]), 9)[0]
    np.testing.assert_allclose(scores, [0, one_hot, one_hot, one_hot], rtol=1e-9)
