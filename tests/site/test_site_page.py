"""What goes into the page: names, packed curves and hashes, data that no parser takes for markup, and the policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from opened_page import Made
from site_cases import MODELS, SCORERS

from ood_bench.cli.site import site
from ood_bench.errors import RequestError
from ood_bench.figures.curves import roc
from ood_bench.home import Home
from ood_bench.metrics.ood import auroc
from ood_bench.site.drawn import ROC_X
from ood_bench.site.labels import labels_of
from ood_bench.site.methods import methods_of
from ood_bench.site.packing import ALPHABET, pack, pack_hash
from ood_bench.site.page import as_data
from ood_bench.store.selection import Line, select
from ood_bench.store.store import Store
from ood_bench.suites import load_suite


def test_packed_values_come_back_to_their_step() -> None:
    values = np.random.default_rng(3).random(50)
    for characters, steps in ((1, 63), (2, 4095)):
        packed = pack(values, fine=characters == 2)
        digits = [ALPHABET.index(sign) for sign in packed]
        numbers = digits if characters == 1 else [64 * a + b for a, b in zip(digits[::2], digits[1::2], strict=True)]
        assert np.abs(np.array(numbers) / steps - values).max() <= 0.5 / steps + 1e-12  # half a step


def test_values_that_no_digit_stands_for_are_refused() -> None:
    for bad in ([0.5, 1.5], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            pack(np.array(bad))


def test_a_hash_is_packed_without_loss() -> None:
    sha256 = hashlib.sha256(b"x").hexdigest()
    assert base64.urlsafe_b64decode(pack_hash(sha256) + "=").hex() == sha256


def test_the_points_of_a_roc_curve_have_its_area() -> None:
    rng = np.random.default_rng(5)
    inside, outside = rng.normal(1.2, 1, 4000), rng.normal(0, 1, 3000)
    heights = roc(inside, outside).at(ROC_X)
    area = float(np.sum(np.diff(ROC_X) * (heights[1:] + heights[:-1]) / 2))
    assert area == pytest.approx(auroc(inside, outside), abs=2e-3)  # 37 points of a concave curve


def test_data_cannot_end_the_script_and_is_the_same_json() -> None:
    evil = {"</script><!--": ["<img onerror=x>", "&amp;", "\u2028"]}
    text = as_data(evil)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == evil


def test_the_policy_names_the_hash_of_the_one_script(made: Made) -> None:
    text = made.page.read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text.split('id="data"', 1)[0])


def test_the_shell_is_small(made: Made) -> None:
    """Markup, style and script without data; a chart library alone would be hundreds of KiB."""
    text = made.page.read_text(encoding="utf-8")
    data = re.search(r'<script id="data".*?</script>', text, re.DOTALL)
    assert data is not None
    assert len(text) - len(data[0]) < 80 * 1024
    lines = len(SCORERS) * len(MODELS)
    assert len(data[0]) / lines < 4 * 1024  # a line: 3 sets, 2 means, further tasks, hashes, curves, intervals


def lines(made: Made) -> list[Line]:
    return select(Store(made.home), load_suite("toy", made.home), None, (), ())


def test_a_scorer_has_one_name_over_backbones_that_resolve_it_differently(made: Made) -> None:
    found = [line for line in lines(made) if line.scorer == "msp"]
    differing = []
    for place, line in enumerate(found):
        records = {
            name: replace(record, key=replace(record.key, params={"dim": place}))
            for name, record in line.records.items()
        }
        differing.append(replace(line, records=records))
    assert labels_of(differing) == ["msp"] * len(MODELS)


def test_lines_that_differ_on_one_backbone_are_told_apart(made: Made) -> None:
    assert {"knn:k=1", "knn:k=5", "knn:k=50", "react+energy"} <= set(labels_of(lines(made)))
    (line,) = [each for each in lines(made) if each.spec == "react+energy" and each.model == "resnet18"]
    others = {
        name: replace(record, key=replace(record.key, params={"react.q": 0.5}), profile="p")
        for name, record in line.records.items()
    }
    assert labels_of([line, replace(line, records=others)]) == ["react:q=0.99+energy", "react:q=0.5+energy (p)"]


def test_what_a_method_says_of_itself() -> None:
    found = methods_of(["vim", "react+vim", "nobody-knows"])
    assert found["vim"].family == found["react+vim"].family == "features+head"
    assert "2203.10807" in found["vim"].paper
    assert "2111.12797" in found["react+vim"].paper
    assert found["vim"].summary
    assert found["nobody-knows"].family == "other"


def test_an_empty_home_is_refused_with_a_remedy(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "out"), "--home", str(Home(tmp_path / "home").root)]
    with pytest.raises(RequestError, match="ood-bench run"):
        CliRunner().invoke(site, arguments, catch_exceptions=False, standalone_mode=False)
    with pytest.raises(RequestError, match="nothing is stored for suite digits"):
        CliRunner().invoke(site, [*arguments, "--suite", "digits"], catch_exceptions=False, standalone_mode=False)
    assert not (tmp_path / "out").exists()
