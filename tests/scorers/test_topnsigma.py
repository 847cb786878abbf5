"""The statistics of top-n-sigma against the statistics module."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from direct import logits_bank, run
from support import problem, score

from ood_bench.errors import CannotScore


def test_second_writing() -> None:
    given = problem()
    rows = given.logits("test").tolist()
    expected = [(max(row) - statistics.fmean(row)) / statistics.stdev(row) for row in rows]
    np.testing.assert_allclose(score("topnsigma", given), expected, rtol=1e-9)
    for spec, n in (("topnsigma-count", 1.0), ("topnsigma-count:n=0.3", 0.3), ("topnsigma-count:n=1.5", 1.5)):
        counts = [-sum(z >= max(row) - n * statistics.stdev(row) for z in row) for row in rows]
        np.testing.assert_array_equal(score(spec, given), counts)


def test_equal_logits_are_the_least_confident() -> None:
    rows = [[0.1] * 5, [2.0, 1.0, 0.0, 0.0, 0.0], [1e4, -1e4, -1e4, -1e4, -1e4]]
    np.testing.assert_allclose(run("topnsigma", logits_bank(rows))[0][[0, 2]], [0, 4 / 5**0.5], rtol=1e-12)
    np.testing.assert_array_equal(run("topnsigma-count", logits_bank(rows))[0], [-5, -1, -1])


@pytest.mark.parametrize("name", ["topnsigma", "topnsigma-count"])
def test_two_classes_are_refused(name: str) -> None:
    with pytest.raises(CannotScore, match=r"3 classes or more, got K=2"):
        run(name, logits_bank([[1.0, 2.0], [3.0, 0.0]]))
