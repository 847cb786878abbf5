"""Estimators: each against a naive writing of its source's formula, whatever the batches; MaNo's table on real banks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp, softmax
from support import CPU, Problem, problem

import ood_bench
from ood_bench.engine import Learning
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.material import Material
from ood_bench.registry import ESTIMATORS, load_all
from ood_bench.store.store import Store
from ood_bench.stream import Stream
from ood_bench.suites import SetSpec, Suite
from ood_bench.tasks.answers import Answers
from ood_bench.tasks.asking import Second, ask_all
from ood_bench.tasks.estimating import every_estimator, parse_estimator

load_all()
GIVEN = problem(3, n=90)


def estimates(specs: list[str], folder: Path, rows: int | None = None, given: Problem = GIVEN) -> dict[str, float]:
    """What each estimator says of `test`; the second checkpoint predicts class 0 everywhere."""
    store = Store(Home(folder))
    bank = given.bank("test")
    other = "1" * 64
    store.put_outcomes(other, np.zeros(bank.n, dtype=np.int64), given.labels("test"))
    suite = Suite("toy", folder, "home", test="test", sets={"test": SetSpec("test")})
    learning = Learning(given.head, given.bank("fit"), given.bank("val"))
    material = Material(suite, "toy", None, learning, {"test": bank})
    methods = [parse_estimator(spec) for spec in specs]
    second = Second("toy@1", {"test": other})
    said = ask_all(methods, {"test": bank}, material, store, Stream(CPU, 1 << 30, rows), second=second)["accuracy"]
    assert not said.unanswered, said.unanswered
    found = [Answers(store.home).get(key) for key in said.answers]
    return {one.spec: float(one.values["estimate"] or 0) for one in found if one is not None}


EVERY = [method.spec for method in every_estimator()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return estimates(EVERY, tmp_path_factory.mktemp("whole"))


def test_every_estimator_answers_whatever_the_batches(whole: dict[str, float], tmp_path: Path) -> None:
    assert set(whole) == set(EVERY)
    parts = estimates(EVERY, tmp_path, rows=17)
    for spec, value in whole.items():
        assert parts[spec] == pytest.approx(value, rel=1e-9), spec


@pytest.mark.parametrize("name", ESTIMATORS.names())
def test_every_estimator_says_where_it_comes_from(name: str) -> None:
    entry = ESTIMATORS.entries[name]
    assert entry.paper
    assert entry.summary


def _temperature() -> float:
    """By brute force: the temperature of least NLL on val."""
    z, y = GIVEN.logits("val"), GIVEN.labels("val")
    inverse = np.exp(np.linspace(np.log(0.02), np.log(50), 200_001)[:, None][::50])
    for _ in range(3):  # refine around the best of a grid
        losses = [-np.mean((b * z - logsumexp(b * z, axis=1, keepdims=True))[np.arange(len(y)), y]) for b in inverse]
        best = int(np.argmin(losses))
        low, high = inverse[max(best - 1, 0)], inverse[min(best + 1, len(inverse) - 1)]
        inverse = np.linspace(low, high, 400)
    return float(1 / inverse[best].item())


@pytest.fixture(scope="module")
def naive() -> dict[str, float]:
    z, h = GIVEN.logits("test"), GIVEN.features("test")
    zv, yv, hf = GIVEN.logits("val"), GIVEN.labels("val"), GIVEN.features("fit")
    n, k = z.shape
    p = softmax(z, axis=1)
    t = _temperature()
    pt, pv = softmax(z / t, axis=1), softmax(zv / t, axis=1)
    right = zv.argmax(1) == yv
    errors = int((~right).sum())
    found = {"confscore": p.max(1).mean(), "entropy": (p * np.log(p)).sum(1).mean()}

    def ne(q: np.ndarray) -> np.ndarray:
        return np.asarray((q * np.log(q)).sum(1))

    found["atc-mc"] = (pt.max(1) >= np.sort(pv.max(1))[errors]).mean()
    found["atc-ne"] = (ne(pt) >= np.sort(ne(pv))[errors]).mean()
    found["doc"] = right.mean() - (pv.max(1).mean() - pt.max(1).mean())
    cell = lambda q: np.clip(np.ceil(q.max(1) * 10).astype(int) - 1, 0, 9)  # noqa: E731  # a formula, used twice
    share_t = np.bincount(cell(pt), minlength=10) / n
    share_v = np.bincount(cell(pv), minlength=10) / len(pv)
    weight = share_t[cell(pv)] / share_v[cell(pv)]
    found["im"] = (weight / weight.mean() * right).mean()
    energy = -logsumexp(z, axis=1)
    found["mde"] = np.log(-np.mean(energy - logsumexp(energy)))
    found["nuclear"] = np.linalg.norm(p, ord="nuc") / np.sqrt(min(n, k) * n)
    predicted = z.argmax(1)
    groups = [h[predicted == c] for c in np.unique(predicted)]
    found["dispersion"] = np.log(sum(len(g) * np.square(g.mean(0) - h.mean(0)).sum() for g in groups) / (k - 1))
    s, target = np.cov(hf.T, bias=True), np.cov(h.T, bias=True)
    gap = np.square(hf.mean(0) - h.mean(0)).sum()
    found["frechet"] = -(gap + np.trace(s + target - 2 * np.real(sqrtm(s @ target))))
    found["agreement"] = (predicted == 0).mean()
    sigma = {"softmax": p}
    taylor = 1 + z + z**2 / 2
    taylor -= taylor.min(1, keepdims=True)
    sigma["taylor"] = taylor / taylor.sum(1, keepdims=True)
    phi = (logsumexp(z, axis=1) - z.mean(1)).mean()
    chosen = sigma["softmax" if phi > 5 else "taylor"]
    for branch, value in sigma.items():
        found[f"mano:branch={branch}"] = (value**4).mean() ** 0.25
    found["mano"] = (chosen**4).mean() ** 0.25
    found["mano:mode=batch"] = np.mean([(chosen[i : i + 128] ** 4).mean() ** 0.25 for i in range(0, n, 128)])
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("spec", [spec for spec in EVERY if not spec.startswith("cot")])
def test_against_a_naive_writing(spec: str, whole: dict[str, float], naive: dict[str, float]) -> None:
    assert whole[spec] == pytest.approx(naive[spec], rel=1e-6)  # the naive temperature is good to about 1e-7


def test_the_plan_is_the_optimal_assignment() -> None:
    """Against SciPy's assignment of the expanded problem: every class as often as it has rows."""
    from ood_bench.scorers.estimators_transport import transport

    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(5, 0.3), 200)
    counts = np.array([80, 40, 40, 20, 20])
    expanded = (1 - p)[:, np.repeat(np.arange(5), counts)]
    row, column = linear_sum_assignment(expanded)
    plan = transport(p, counts / 200)
    assert (plan * (1 - p)).sum() == pytest.approx(expanded[row, column].mean(), abs=1e-10)
    np.testing.assert_allclose(plan.sum(0), counts / 200, atol=1e-9)
    np.testing.assert_allclose(plan.sum(1), 1 / 200, atol=1e-9)


def test_cot_is_one_minus_the_cost(whole: dict[str, float], tmp_path: Path) -> None:
    p = softmax(GIVEN.logits("test") / _temperature(), axis=1)
    share = np.bincount(GIVEN.labels("val"), minlength=p.shape[1]) / len(GIVEN.labels("val"))
    times = np.repeat(p, 20, axis=0)  # 20 copies of each row: 200 validation labels then stand 9 times each
    columns = np.repeat(np.arange(p.shape[1]), np.round(share * len(times)).astype(int))
    row, column = linear_sum_assignment((1 - times)[:, columns])
    assert whole["cot"] == pytest.approx(1 - (1 - times)[row, columns[column]].mean(), abs=1e-6)
    assert estimates(["cot:rows=30"], tmp_path)["cot:rows=30"] != pytest.approx(whole["cot"], abs=1e-6)


def test_cott_agrees_with_its_definition(whole: dict[str, float]) -> None:
    from ood_bench.scorers.estimators_transport import confidence_of, threshold_of_mass, transport

    t = _temperature()
    p, pv = softmax(GIVEN.logits("test") / t, axis=1), softmax(GIVEN.logits("val") / t, axis=1)
    share = np.bincount(GIVEN.labels("val"), minlength=p.shape[1]) / len(pv)
    error = float((GIVEN.logits("val").argmax(1) != GIVEN.labels("val")).mean())
    plan_v, plan = transport(pv, share), transport(p, share)
    one_hot = np.eye(p.shape[1])
    for spec, score in (("cott", "mc"), ("cott:score=ne", "ne")):
        if score == "mc":
            direct = -np.abs(one_hot[None] - pv[:, None]).sum(2)
        else:
            half = (one_hot[None] + pv[:, None]) / 2
            direct = (half * np.log(half)).sum(2)
        np.testing.assert_allclose(confidence_of(pv, score), direct, atol=1e-12)
        threshold = threshold_of_mass(direct[plan_v > 0], plan_v[plan_v > 0], error)
        assert plan_v[direct < threshold].sum() <= error + 1e-9
        assert whole[spec] == pytest.approx(plan[confidence_of(p, score) >= threshold].sum(), abs=0.02)  # a row of 90


def test_words_of_an_estimator() -> None:
    with pytest.raises(RequestError, match="no estimator is named 'manno' \\(did you mean 'mano'"):
        parse_estimator("manno")
    with pytest.raises(RequestError, match="no parameter of mano is named 'eat' \\(did you mean 'eta'"):
        parse_estimator("mano:eat=5")
    with pytest.raises(RequestError, match="got 'eta'"):
        parse_estimator("mano:eta")
    assert parse_estimator("gde").spec == "agreement"


def _data(folder: Path, names: tuple[str, str]) -> dict[str, Any]:
    """A real bank as `evaluate` takes it: a tenth of the training rows as validation set, all shifted sets by logits."""

    def rows(path: Path, pick: slice) -> dict[str, np.ndarray]:
        with np.load(path) as file:
            return {name: file[name][pick] for name in ("logits", "labels")}

    shifted = {}
    for path in sorted((folder / "shifted").glob("*.npz")):
        with np.load(path) as file:
            shifted |= {
                f"{path.stem}-{i + 1}": {"logits": file["logits"][i], "labels": file["labels"]} for i in range(5)
            }
    train, test = names
    return {
        "val": rows(folder / f"{train}.npz", slice(0, None, 20)),
        "test": rows(folder / f"{test}.npz", slice(None)),
        "shifted": shifted,
    }


@pytest.mark.parametrize(
    ("name", "sets", "branches"),
    [
        ("mnist-oe-baseline", ("train", "test"), (34, 6)),
        ("cifar10-resnet20", ("train_jpeg", "test_jpeg"), (40, 0)),
    ],
)
def test_manos_table_on_a_real_bank(shared: Path, name: str, sets: tuple[str, str], branches: tuple[int, int]) -> None:
    """40 real shifted sets: R^2 of the three branches against NumPy, and how many sets are on each."""
    data = _data(shared / "data" / name, sets)
    wanted = ["mano", "mano:branch=softmax", "mano:branch=taylor", "mano:mode=batch", "confscore", "nuclear", "doc"]
    results = ood_bench.evaluate(data, tasks="accuracy", estimators=wanted, device="cpu")
    rows = {row.spec: row for row in results.tasks["accuracy"].rows}
    assert set(rows) == set(wanted)
    assert all((row.status, row.n) == ("ok", 40) for row in rows.values())
    assert (rows["mano"].values["n_softmax"], rows["mano"].values["n_taylor"]) == branches
    accuracy, naive = [], []
    for one in data["shifted"].values():
        z = one["logits"].astype(np.float64)
        accuracy.append((z.argmax(1) == one["labels"]).mean())
        taylor = 1 + z + z**2 / 2
        taylor -= taylor.min(1, keepdims=True)
        both = softmax(z, axis=1), taylor / taylor.sum(1, keepdims=True)
        phi = (logsumexp(z, axis=1) - z.mean(1)).mean()
        s, t = ((sigma**4).mean() ** 0.25 for sigma in both)
        naive.append((s if phi > 5 else t, s, t, both[0].max(1).mean()))
    for index, spec in enumerate(("mano", "mano:branch=softmax", "mano:branch=taylor", "confscore")):
        expected = np.corrcoef([point[index] for point in naive], accuracy)[0, 1] ** 2
        assert rows[spec].values["r2"] == pytest.approx(expected, rel=1e-6), spec
    assert float(rows["mano:branch=taylor"].values["r2"] or 0) > float(rows["mano:branch=softmax"].values["r2"] or 0)
    points = results.tasks["accuracy"].details["points"]
    assert isinstance(points, list)
    assert len(points) == 41 * len(wanted)
    assert results.tasks["accuracy"].frame["mae_direct"].notna().sum() == 2  # confscore and doc estimate accuracies
