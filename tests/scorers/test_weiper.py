from __future__ import annotations

import numpy as np
import pytest
import torch
from support import Problem, fitted, problem, score

from ood_bench.batch import Batch
from ood_bench.scorers.weiper import Extremes, PerturbedHeads, WeiPer

SMALL = "weiper:repeats=6,bins=20,smoothing_perturbed=5"


def perturbed_weights(given: Problem, repeats: int, delta: float, seed: int) -> list[np.ndarray]:
    heads = []
    for at in range(repeats):
        noise = torch.randn(given.weight.shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + at)).double()
        rows = [
            w + delta * np.linalg.norm(w) * u / np.linalg.norm(u)
            for w, u in zip(given.weight, noise.numpy(), strict=True)
        ]
        heads.append(np.array(rows))
    return heads


def histogram(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """Shares of all values, those outside included, in equal bins on [low, high]; the last one closed."""
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    return counts / values.size


def smooth(shares: np.ndarray, width: int) -> np.ndarray:
    """Mean over a window; for an even width one more to the right. The ends repeat."""
    left = (width - 1) // 2
    last = len(shares) - 1
    return np.array(
        [np.mean([shares[min(max(i - left + j, 0), last)] for j in range(width)]) for i in range(len(shares))]
    )


def divergence(mean: np.ndarray, shares: np.ndarray, width: int, epsilon: float) -> float:
    p, q = mean + epsilon, smooth(shares, width) + epsilon
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum())


def naive(given: Problem, name: str, options: WeiPer) -> np.ndarray:
    heads = perturbed_weights(given, options.repeats, options.delta, options.seed)

    def views(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return row, np.concatenate([w @ row + given.bias for w in heads])

    fit = [views(row) for row in given.features("fit")]
    ends = [(min(v[part].min() for v in fit), max(v[part].max() for v in fit)) for part in (0, 1)]
    means = [np.mean([histogram(v[part], *ends[part], options.bins) for v in fit], axis=0) for part in (0, 1)]
    out = []
    for row in given.features(name):
        both = views(row)
        plain, perturbed = (histogram(both[part], *ends[part], options.bins) for part in (0, 1))
        confidence = np.mean([np.exp(z).max() / np.exp(z).sum() for z in both[1].reshape(options.repeats, -1)])
        out.append(
            -divergence(means[0], plain, options.smoothing, 0.01)
            - options.lambda1 * divergence(means[1], perturbed, options.smoothing_perturbed, 0.025)
            + options.lambda2 * confidence
        )
    return np.array(out)


@pytest.mark.parametrize("name", ["test", "ood"])
@pytest.mark.parametrize("relu", [True, False])
def test_against_row_by_row(name: str, relu: bool) -> None:
    given = problem(33, n_fit=80, n=25, relu=relu)
    options = WeiPer(repeats=6, bins=20, smoothing_perturbed=5)
    np.testing.assert_allclose(score(SMALL, given, name, rows=11), naive(given, name, options), rtol=1e-9)


def test_every_parameter_is_used() -> None:
    given = problem(34, n_fit=60, n=12)
    spec = "weiper:repeats=3,delta=2.2,lambda1=0.7,lambda2=3,bins=15,smoothing=3,smoothing_perturbed=8,seed=5"
    options = WeiPer(3, 2.2, 0.7, 3.0, 15, 3, 8, 5)
    np.testing.assert_allclose(score(spec, given), naive(given, "test", options), rtol=1e-9)


def test_heads_do_not_depend_on_how_they_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(35)
    heads = PerturbedHeads(given.head.weight, given.head.bias, 5, 1.8, 0)
    rows = Batch(features=torch.from_numpy(given.features("test")))
    whole = Extremes(heads)(rows)
    monkeypatch.setattr("ood_bench.scorers.weiper.CHUNK", 1)
    assert len(list(heads.logits(rows.features))) == 5
    torch.testing.assert_close(Extremes(heads)(rows), whole, rtol=1e-12, atol=0)


def test_equal_entries_are_refused() -> None:
    given = problem(36)
    given.sets["fit"][0][:] = 0.0
    given.sets["fit"][1][:] = given.bias
    with pytest.raises(AssertionError, match="weiper needs fit features that differ from each other"):
        fitted("weiper:repeats=2", given)
