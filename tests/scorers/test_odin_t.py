"""ODIN's temperature against the softmax at that temperature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from direct import softmax_rows
from scipy.stats import spearmanr
from support import problem, score

from ood_bench.errors import RequestError
from ood_bench.specs import parse_spec


@pytest.mark.parametrize(("spec", "temperature"), [("odin-t", 1000.0), ("odin-t:temperature=10", 10.0)])
def test_second_writing(spec: str, temperature: float) -> None:
    given = problem()
    expected = np.log(softmax_rows(given.logits("test") / temperature).max(axis=1))
    np.testing.assert_allclose(score(spec, given), expected, rtol=1e-9)


def test_a_single_precision_bank_keeps_its_order() -> None:
    given = problem(n=400)
    narrow, wide = score("odin-t", given, dtype=torch.float32), score("odin-t", given)
    assert spearmanr(narrow, wide).statistic > 0.999999
    assert len(np.unique(narrow)) == 400


def test_the_temperature_is_positive() -> None:
    with pytest.raises(RequestError, match="temperature takes a number"):
        parse_spec("odin-t:temperature=0")
