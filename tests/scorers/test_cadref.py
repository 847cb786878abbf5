from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import Problem, fitted, problem, score


def class_means(given: Problem) -> np.ndarray:
    rows, predicted = given.features("fit"), given.logits("fit").argmax(axis=1)
    return np.array(
        [
            rows[predicted == c].mean(axis=0) if (predicted == c).any() else rows.mean(axis=0)
            for c in range(len(given.bias))
        ]
    )


def term(logits: np.ndarray, kind: str) -> np.ndarray:
    exponentials = np.exp(logits)
    terms: dict[str, np.ndarray] = {
        "energy": np.log(exponentials.sum(axis=1)),
        "maxlogit": logits.max(axis=1),
        "msp": exponentials.max(axis=1) / exponentials.sum(axis=1),
    }
    return terms[kind]


def naive_cadref(given: Problem, name: str, kind: str) -> np.ndarray:
    means, typical = class_means(given), term(given.logits("fit"), kind).mean()
    out = []
    for row, logits, own in zip(
        given.features(name), given.logits(name), np.maximum(term(given.logits(name), kind), 1e-6), strict=True
    ):
        y = int(np.argmax(logits))
        raising = lowering = 0.0
        for j in range(len(row)):
            error = (row[j] - means[y, j]) * np.sign(given.weight[y, j])
            raising += max(error, 0.0)
            lowering += max(-error, 0.0)
        size = np.abs(row).sum()
        out.append(-(raising / size / own + lowering / size / typical))
    return np.array(out)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(
    ("spec", "kind"), [("cadref", "energy"), ("cadref:logit=maxlogit", "maxlogit"), ("cadref:logit=msp", "msp")]
)
def test_cadref_against_row_by_row(spec: str, kind: str, relu: bool) -> None:
    given = problem(26, relu=relu)
    np.testing.assert_allclose(score(spec, given, "ood", rows=11), naive_cadref(given, "ood", kind), rtol=1e-9)
    typical = term(given.logits("fit"), kind).mean()
    assert fitted(spec, given).learned == {f"mean {kind}": pytest.approx(typical, rel=1e-12)}


@pytest.mark.parametrize("relu", [True, False])
def test_caref_against_row_by_row(relu: bool) -> None:
    given = problem(27, relu=relu)
    means = class_means(given)
    expected = [
        -np.abs(row - means[int(np.argmax(logits))]).sum() / np.abs(row).sum()
        for row, logits in zip(given.features("ood"), given.logits("ood"), strict=True)
    ]
    np.testing.assert_allclose(score("caref", given, "ood", rows=11), expected, rtol=1e-9)


def shifted(given: Problem, by: np.ndarray, names: tuple[str, ...]) -> Problem:
    """The same with a constant added to some classes' logits, of some sets."""
    sets = {name: (x, z + by if name in names else z, y) for name, (x, z, y) in given.sets.items()}
    return replace(given, sets=sets, bias=given.bias + by if len(names) == len(sets) else given.bias)


def test_a_class_that_is_never_predicted_has_the_mean_of_all() -> None:
    given = problem(28)
    sunk = np.zeros(7)
    sunk[2] = -1e3
    given = shifted(given, sunk, ("fit",))
    assert not (given.logits("fit").argmax(axis=1) == 2).any()
    predicted = given.logits("test").argmax(axis=1)
    assert (predicted == 2).any()
    rows, means = given.features("test"), class_means(given)
    np.testing.assert_array_equal(means[2], given.features("fit").mean(axis=0))
    expected = -np.abs(rows - means[predicted]).sum(axis=1) / np.abs(rows).sum(axis=1)
    np.testing.assert_allclose(score("caref", given), expected, rtol=1e-9)


def test_energy_below_zero_is_much_error_not_little() -> None:
    given = problem(29)
    lowest = shifted(given, np.full(7, -6.0), tuple(given.sets))
    energy = term(lowest.logits("ood"), "energy")
    assert (energy < 0).any()
    assert term(lowest.logits("fit"), "energy").mean() > 0
    scores = score("cadref", lowest, "ood")
    np.testing.assert_allclose(scores, naive_cadref(lowest, "ood", "energy"), rtol=1e-9)
    assert scores[energy < 0].max() < scores[energy > 0.1].min()


def test_a_fit_set_without_positive_energy_is_refused() -> None:
    given = problem(30)
    with pytest.raises(AssertionError, match=r"cadref needs a positive mean energy of the fit set, got -.*logit=msp"):
        fitted("cadref", shifted(given, np.full(7, -100.0), tuple(given.sets)))
