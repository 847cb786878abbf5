"""Ranks against numbers printed elsewhere and by hand."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from ood_bench.errors import RequestError
from ood_bench.statistics.diagram import as_svg, as_text
from ood_bench.statistics.ranks import average_ranks, critical_difference


def test_average_ranks_and_friedman_by_hand() -> None:
    values = np.array([[0.9, 0.8, 0.7], [0.9, 0.7, 0.8], [0.6, 0.5, 0.5], [0.8, 0.9, 0.7]])
    found = average_ranks(["x", "y", "z"], values)
    # ranks by row: 1 2 3, 1 3 2, 1 2.5 2.5, 2 1 3
    assert dict(zip(found.names, found.average, strict=True)) == {"x": 1.25, "y": 2.125, "z": 2.625}
    # 12 n / (k (k + 1)) * sum (R - 2)^2 = 3.875, divided by 1 - 6 / (4 * 24) for the pair that is tied; two degrees
    assert found.p_value == pytest.approx(np.exp(-3.875 / (1 - 6 / 96) / 2))
    # 2.343 sqrt(k (k + 1) / 6 n)
    assert found.critical_difference == pytest.approx(2.343 * np.sqrt(12 / 24), abs=1e-3)
    assert found.cliques == (("x", "y", "z"),)


# Demsar, JMLR 7 (2006), Table 5a
@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_nemenyis_quantiles_as_printed(k: int, q: float) -> None:
    assert critical_difference(k, 10) == pytest.approx(q * np.sqrt(k * (k + 1) / 60), abs=1e-3)


def test_cliques_are_maximal_runs() -> None:
    rng = np.random.default_rng(0)
    base = np.array([0.9, 0.89, 0.5, 0.1])
    found = average_ranks(list("abcd"), base + rng.normal(0, 0.02, (40, 4)))
    assert found.names[2:] == ("c", "d")
    assert found.cliques == (found.names[:2],)
    assert found.p_value is not None
    assert found.p_value < 1e-10


def test_lower_may_be_better_and_ties_share_their_rank() -> None:
    found = average_ranks(["x", "y"], np.array([[0.1, 0.2], [0.3, 0.3]]), higher_is_better=False)
    assert (found.names, found.average) == (("x", "y"), (1.25, 1.75))
    assert found.p_value is None
    tied = average_ranks(["x", "y", "z"], np.full((3, 3), 0.5))
    assert (tied.average, tied.p_value) == ((2.0, 2.0, 2.0), 1.0)


def test_one_block_has_no_test() -> None:
    found = average_ranks(["x", "y", "z"], np.array([[0.1, 0.2, 0.3]]))
    assert (found.critical_difference, found.p_value, found.cliques) == (None, None, ())
    with pytest.raises(RequestError, match="at least two scorers and one block, got 1 scorers"):
        average_ranks(["x"], np.array([[0.1]]))


def test_diagrams_say_the_same_and_escape_names() -> None:
    found = average_ranks(["<script>", "b&c", "d"], np.array([[0.1, 0.2, 0.3], [0.2, 0.1, 0.3]]))
    text = as_text(found)
    assert "average rank over 2 blocks" in text
    assert text.splitlines()[1].split() == ["1.00", "d", "┃"]
    svg = as_svg(found)
    assert "<script>" not in svg
    root = ElementTree.fromstring(svg)
    words = [element.text for element in root.iter() if element.text]
    assert {"<script> 2.50", "b&c 2.50", "d 1.00"} <= set(words)
    many = average_ranks([f"s{i}" for i in range(30)], np.random.default_rng(0).uniform(size=(4, 30)))
    ElementTree.fromstring(as_svg(many))
