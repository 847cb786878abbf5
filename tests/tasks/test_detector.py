"""Detectors: saved and loaded they say the same; thresholds keep their promise; damaged files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support import CPU, problem

import ood_bench
from ood_bench.bank.memory import MemoryBank
from ood_bench.cli import main
from ood_bench.detector import Detector, make_detector
from ood_bench.engine import Learning
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.material import Material
from ood_bench.metrics.threshold import conformal_p_values, threshold_at
from ood_bench.registry import SCORERS, load_all
from ood_bench.saving import decode, encode
from ood_bench.specs import parse_spec
from ood_bench.stream import Stream
from ood_bench.suites import Suite

load_all()
GIVEN = problem(9)
# What these scorers read is not in the toy problem.
ELSEWHERE = {
    name
    for name, entry in SCORERS.entries.items()
    if {"members", "text-features", "negative-text", "local-features"} & set(entry.needs)
}


def detector(spec: str, rule: str = "tpr", level: float = 0.95) -> Detector:
    dtype = torch.float32
    learning = Learning(GIVEN.bank("fit", dtype).head, GIVEN.bank("fit", dtype), GIVEN.bank("val", dtype))
    material = Material(Suite("toy", Path(), "home"), "toy", None, learning, {"test": GIVEN.bank("test", dtype)})
    return make_detector(material, parse_spec(spec), rule, level, Stream(CPU, 1 << 30))  # type: ignore[arg-type]


def new_rows() -> dict[str, np.ndarray]:
    return {
        "features": GIVEN.features("ood").astype(np.float32),
        "logits": GIVEN.logits("ood").astype(np.float32),
    }


@pytest.mark.parametrize("name", sorted(set(SCORERS.names()) - ELSEWHERE))
def test_every_scorer_comes_back(name: str, tmp_path: Path) -> None:
    made = detector({"corp": "corp:m=64"}.get(name, name))  # its 2,048 random features take half a minute
    loaded = ood_bench.load_detector(made.save(tmp_path / "d.json"))
    # equal to rounding: a matrix that was stored by columns comes back stored by rows
    np.testing.assert_allclose(loaded.score(**new_rows()), made.score(**new_rows()), rtol=1e-5, atol=1e-6)
    assert loaded.threshold == made.threshold
    assert loaded.spec == made.spec


def test_a_composition_comes_back(tmp_path: Path) -> None:
    made = detector("react:q=0.9+vim")
    loaded = ood_bench.load_detector(made.save(tmp_path / "d"))
    decided = loaded(**new_rows())
    np.testing.assert_allclose(decided.scores, made.score(**new_rows()), rtol=1e-5)
    np.testing.assert_array_equal(decided.accepted, decided.scores >= made.threshold.value)
    assert decided.p_values.min() >= 1 / 201


def test_a_threshold_keeps_what_it_says() -> None:
    scores = np.arange(100.0)
    assert threshold_at(scores, "tpr", 0.95).value == 5.0
    alarm = threshold_at(scores, "alarm", 0.05)
    assert (alarm.value, alarm.kept, alarm.n) == (4.0, 0.96, 100)  # the 5th smallest: floor(0.05 * 101) = 5
    with pytest.raises(ValueError, match=r"false-alarm rate of 0.01 needs at least 99 calibration rows, got 98"):
        threshold_at(np.arange(98.0), "alarm", 0.01)
    assert threshold_at(np.arange(99.0), "alarm", 0.01).value == 0.0


@pytest.mark.parametrize("level", [0.05, 0.1, 0.3])
def test_the_false_alarm_rate_is_guaranteed(level: float) -> None:
    """Over many draws, ties included, new ID rows fall below the threshold no more often than the level."""
    rng = np.random.default_rng(0)
    alarms, small = [], []
    for _ in range(2000):
        drawn = np.round(rng.normal(size=61), 1)
        threshold = threshold_at(drawn[:-1], "alarm", level).value
        alarms.append(drawn[-1] < threshold)
        small.append(conformal_p_values(drawn[:-1], drawn[-1:])[0] <= level)
    slack = 3 * np.sqrt(level * (1 - level) / 2000)
    assert np.mean(alarms) <= level + slack
    assert np.mean(small) <= level + slack


def test_p_value_and_threshold_agree() -> None:
    rng = np.random.default_rng(1)
    calibration, new = rng.normal(size=200), rng.normal(-0.5, 1, size=500)
    rejected = new < threshold_at(calibration, "alarm", 0.1).value
    np.testing.assert_array_equal(rejected, conformal_p_values(calibration, new) <= 0.1)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = detector("mds").save(tmp_path / "d.json")
    written = path.read_text()
    data = json.loads(written)
    data["state"]["dict"][1][1] = {"type": "os:system", "fields": {}}
    path.write_text(json.dumps(data))
    with pytest.raises(IntegrityError, match="should name dataclasses of ood_bench, got 'os:system'"):
        ood_bench.load_detector(path)
    path.write_text(json.dumps({**json.loads(written), "version": "0"}))
    with pytest.raises(IntegrityError, match="was made with version 0 of mds"):
        ood_bench.load_detector(path)
    path.write_text(written)
    tensors = path.with_suffix(".safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-8])
    with pytest.raises(IntegrityError, match="should lie unchanged"):
        ood_bench.load_detector(path)


def test_what_cannot_be_saved_is_named() -> None:
    with pytest.raises(RequestError, match=r"value.inner is set"):
        encode({"inner": {1}}, {})
    with pytest.raises(IntegrityError, match="no detector is made of"):
        decode({"pickle": "..."}, {}, "x.json")
    tensors: dict[str, torch.Tensor] = {}
    kept = encode({"a": (1, float("inf"), None), "b": [True, "x"]}, tensors)
    assert decode(json.loads(json.dumps(kept)), tensors, "x") == {"a": (1, float("inf"), None), "b": [True, "x"]}


def test_new_rows_must_have_what_the_scorer_reads() -> None:
    with pytest.raises(RequestError, match=r"knn:k=50: .*features"):
        detector("knn:k=50").score(logits=new_rows()["logits"])


def test_a_scorer_that_learns_from_val_says_so() -> None:
    assert detector("tempscale").reused
    assert not detector("vim").reused


def test_from_the_command_line(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tensors"
    folder.mkdir()
    np.savez(folder / "head.npz", W=GIVEN.weight.astype(np.float32), b=GIVEN.bias.astype(np.float32))
    for name in ("fit", "val", "test", "ood"):
        features = GIVEN.features(name).astype(np.float32)
        np.savez(folder / f"{name}.npz", features=features, labels=GIVEN.labels(name))
    import_folder(Home(home), folder, model="toy", suite="mine", fit="fit", val="val", test="test", far=["ood"])
    out = tmp_path / "vim.json"
    words = ["threshold", "--suite", "mine", "--model", "toy", "--scorer", "vim", "--at", "alarm=0.1", "--json"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--out", str(out)])
    assert left.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rule"], told["level"], told["n_calibration"]) == ("alarm", 0.1, 200)
    loaded = ood_bench.load_detector(out)
    assert loaded.threshold.value == told["threshold"]
    decided = loaded(features=GIVEN.features("ood").astype(np.float32))
    shares = {one["set"]: one["accepted"] for one in told["sets"]}
    assert decided.accepted.mean() == pytest.approx(shares["ood"])
    with pytest.raises(SystemExit) as left:
        main([*words[:-3], "--at", "alarm=2"])
    assert left.value.code == 2
    assert "expects tpr=0.95 or alarm=0.05, got 'alarm=2'" in capsys.readouterr().err


def test_without_val_the_remedy_is_named() -> None:
    learning = Learning(None, None, None)
    bank = MemoryBank.of("test", logits=GIVEN.logits("test"))
    material = Material(Suite("toy", Path(), "home"), "toy", None, learning, {"test": bank})
    with pytest.raises(RequestError, match="held-out ID rows, so it needs the ID val set; name the ID validation set"):
        make_detector(material, parse_spec("msp"), "tpr", 0.95, Stream(CPU, 1 << 30))
