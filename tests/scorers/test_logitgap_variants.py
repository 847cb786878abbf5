"""LogitGap's variants against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from direct import logits_bank, run

from ood_bench.errors import CannotScore
from ood_bench.specs import parse_spec
from ood_bench.types import Info


def gap(values: list[float], n: int) -> float:
    ordered = sorted(values, reverse=True)
    return math.fsum(ordered[0] - value for value in ordered[1:n]) / (n - 1)


@pytest.mark.parametrize(("suffix", "n"), [("", 5), (":n=2", 2), (":n=all", 11)])
def test_second_writing(suffix: str, n: int) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (40, 11))
    rows = logits.tolist()
    exp, _ = run("logitgap-exp" + suffix, logits_bank(logits))
    np.testing.assert_allclose(np.exp(exp), [gap([math.exp(z) for z in row], n) for row in rows], rtol=1e-9)
    square, _ = run("logitgap-square" + suffix, logits_bank(logits))
    np.testing.assert_allclose(square, [gap([z * z for z in row], n) for row in rows], rtol=1e-9)
    root, _ = run("logitgap-sqrt" + suffix, logits_bank(logits))
    ordered = [sorted(row, reverse=True)[:n] for row in rows]
    expected = [math.sqrt(math.fsum((row[0] - z) ** 2 for z in row[1:]) / (n - 1)) for row in ordered]
    np.testing.assert_allclose(root, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["logitgap-exp", "logitgap-square", "logitgap-sqrt"])
def test_edges_and_n(name: str) -> None:
    scores, _ = run(name, logits_bank([[1e4, -1e3, -1e3, -1e3], [0.1] * 4]))
    assert np.isfinite(scores).all()
    assert scores[0] > scores[1]
    assert parse_spec(name).resolved(Info(1000, None)).params == {"n": 200}
    with pytest.raises(CannotScore, match=f"{name} needs 2 <= n <= 4"):
        run(f"{name}:n=5", logits_bank([[1.0, 2.0, 3.0, 4.0]]))
    with pytest.raises(CannotScore, match=f"{name} needs at least 2 classes"):
        run(name, logits_bank([[1.0]]))
