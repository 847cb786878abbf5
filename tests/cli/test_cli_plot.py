"""`ood-bench plot`: pictures on a terminal and as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ood_bench.cli.plot import plot
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.store.records import Provenance, ScoreKey, ScoreRecord, sha256_of_scores
from ood_bench.store.store import Store
from ood_bench.suites import SetSpec, Suite, write_suite


@pytest.fixture
def stored(tmp_path: Path) -> Home:
    home, rng = Home(tmp_path / "home"), np.random.default_rng(1)
    sets = ("test", "svhn", "textures")
    groups = {"far": ("svhn", "textures")}
    specs = {name: SetSpec(name) for name in sets}
    write_suite(home, Suite("toy", Path("toy.toml"), "home", test="test", groups=groups, sets=specs))
    made = Provenance(device="cpu", host="h", program="0", time="2026-01-01T00:00:00Z", versions={})
    store = Store(home)
    for scorer in ("msp", "vim"):
        for place, name in enumerate(sets):
            scores = rng.normal(-2.0 * (place > 0), 1, 200).astype(np.float32)
            key = ScoreKey(scorer=scorer, version="1", params={}, bank_sha256=f"{place:064x}")
            described = {"n": 200, "scores_sha256": sha256_of_scores(scores), "score_dtype": "float32"}
            record = ScoreRecord(
                key=key, spec=scorer, model="net", model_seed=None, set=name, provenance=(made,), **described
            )
            store.put(record, scores)
    store.put_outcomes(f"{0:064x}", np.arange(200) % 3, np.arange(200) % 5 % 3)
    return home


def run(home: Home, *arguments: str) -> str:
    done = CliRunner().invoke(
        plot, [*arguments, "--suite", "toy", "--home", str(home.root)], catch_exceptions=False, standalone_mode=False
    )
    return done.output


def test_a_histogram_says_auroc_and_the_orientation_of_fpr95(stored: Home) -> None:
    text = run(stored, "--scorer", "msp", "--set", "svhn")
    assert "msp, svhn: AUROC 9" in text
    assert "FPR95 ID+" in text
    assert "█" in text
    assert "░" in text


def test_every_set_where_none_is_named(stored: Home) -> None:
    text = run(stored, "--scorer", "msp", "--kind", "roc")
    assert "svhn: AUROC" in text
    assert "textures: AUROC" in text
    assert "OOD accepted, %" in text


def test_risk_coverage_of_the_id_test_set(stored: Home) -> None:
    assert "wrong among accepted, %" in run(stored, "--scorer", "vim", "--kind", "rc")
    with pytest.raises(RequestError, match="svhn has none"):
        run(stored, "--scorer", "vim", "--kind", "rc", "--set", "svhn")


@pytest.mark.parametrize("kind", ["hist", "roc", "rc"])
@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_files_by_their_suffix_with_the_same_bytes_again(
    stored: Home, tmp_path: Path, kind: str, suffix: str, start: bytes
) -> None:
    pytest.importorskip("matplotlib", reason="figures as files need matplotlib (extra `plots`)")
    for name in ("one", "two"):
        run(stored, "--scorer", "msp", "--scorer", "vim", "--kind", kind, "--out", str(tmp_path / f"{name}.{suffix}"))
    first, second = (tmp_path / f"{name}.{suffix}" for name in ("one", "two"))
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == second.read_bytes()


def test_what_cannot_be_drawn_is_refused(stored: Home, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"end in \.pdf, \.svg, \.png, got x\.txt"):
        run(stored, "--scorer", "msp", "--out", str(tmp_path / "x.txt"))
    with pytest.raises(RequestError, match=r"no stored scorer is named 'mps'.*'msp'"):
        run(stored, "--scorer", "mps")
    with pytest.raises(RequestError, match=r"no set with scores of msp is named 'shvn'.*'svhn'"):
        run(stored, "--scorer", "msp", "--set", "shvn")
