"""The banks of the suite `digits`: whole, of one network, made once, and a benchmark that tells scorers apart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from ood_bench.bank.catalog import find_bank, find_banks, remove
from ood_bench.bank.heads import head_sha256, read_head
from ood_bench.bank.manifest import Manifest
from ood_bench.bank.reader import DiskBank, open_bank
from ood_bench.digits import ensure_banks
from ood_bench.digits.network import Network
from ood_bench.digits.weights import FILE, keep_weights, kept_network, weights_sha256
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.metrics.ood import ood_metrics
from ood_bench.suites import Suite, load_suite

# A child that makes the banks in the home given; the code after it decides where it is killed.
CHILD = """
import os, signal, sys
from pathlib import Path
from ood_bench.bank import partial
from ood_bench.digits import ensure_banks
from ood_bench.home import Home

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{kill}
ensure_banks(Home(Path(sys.argv[1])), progress=step)
"""
KILLS = {
    "before training": "step = lambda words: 'training' in words and die()",
    "between banks": "step = lambda words: '(6 of 35)' in words and die()",
    "before the manifest": "step = lambda words: '(4 of 35)' in words and setattr(partial, 'write_manifest', die)",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the banks; tests that change it take a copy."""
    home = Home(tmp_path_factory.mktemp("digits"))
    ensure_banks(home)
    return home


@pytest.fixture
def copy(made: Home, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(made.root, tmp_path / "copy")))


@pytest.fixture(scope="module")
def suite(made: Home) -> Suite:
    return load_suite("digits", made)


def bank(home: Home, name: str) -> DiskBank:
    folder = find_bank(home, "digits-cnn", None, name)
    assert folder is not None
    return open_bank(folder)


def hashes(home: Home) -> dict[str, str]:
    return {manifest.identity.set: manifest.bank_sha256 for _, manifest in find_banks(home)}


def accuracy(one: DiskBank) -> float:
    return float((one.read("logits").argmax(dim=1) == one.read("labels")).double().mean())


def msp(one: DiskBank) -> np.ndarray:
    return np.asarray(one.read("logits").double().softmax(dim=1).amax(dim=1))


def test_every_set_has_a_bank_of_one_network_and_its_list(made: Home, suite: Suite) -> None:
    manifests: list[Manifest] = [manifest for _, manifest in find_banks(made)]
    network = kept_network(made.model_folder("digits-cnn"), 8)
    assert network is not None
    assert sorted(m.identity.set for m in manifests) == sorted(suite.sets)
    assert {m.identity.weights_sha256 for m in manifests} == {weights_sha256(network)}
    for m in manifests:
        spec = suite.sets[m.identity.set]
        assert (m.n, m.identity.list_sha256, m.ids_sha256) == (spec.count, spec.list_sha256, spec.list_sha256)
        assert (m.n_features, m.n_classes, m.identity.label_space) == (64, 8, suite.label_space)
        assert m.has_labels == (m.identity.set not in {*suite.groups["near"], *suite.groups["far"]})


def test_the_head_gives_the_stored_logits(made: Home) -> None:
    head = read_head(made.head_folder("digits-cnn", None, "digits-8"))
    for folder, manifest in find_banks(made):
        stored = open_bank(folder)
        derived = head.double.logits(stored.read("features").double())
        error = float((derived - stored.read("logits").double()).abs().max())
        assert manifest.head_error == error < 1e-5
        assert manifest.head_sha256 == head_sha256(head)
        assert manifest.head_refused is None
        assert float(stored.read("features").min()) >= 0


def test_held_out_digits_are_no_classes_but_keep_their_own_labels(made: Home) -> None:
    eights = bank(made, "digits-eight")
    assert set(eights.read("labels").tolist()) == {-1}
    assert set(eights.read("source_labels").tolist()) == {8}


def test_accuracy_is_high_with_some_errors_left_and_falls_with_each_shift(made: Home, suite: Suite) -> None:
    whole = accuracy(bank(made, "digits-test"))
    assert 0.95 < whole < 0.995  # errors are left for failure detection
    assert accuracy(bank(made, "digits-val")) > 0.95
    for family, names in suite.shifted.items():
        shares = [accuracy(bank(made, name)) for name in names]
        assert shares[0] > 0.85, family
        assert shares[-1] < 0.75, family
        assert all(after < before + 0.01 for before, after in pairwise(shares)), family


def test_it_is_neither_trivial_nor_hopeless(made: Home, suite: Suite) -> None:
    inside = msp(bank(made, "digits-test"))
    auroc = {name: ood_metrics(inside, msp(bank(made, name))).auroc for g in suite.groups.values() for name in g}
    assert all(0.8 < auroc[name] < 0.99 for name in suite.groups["near"])
    assert all(0.7 < auroc[name] < 0.999 for name in suite.groups["far"])
    assert max(auroc.values()) - min(auroc.values()) > 0.1


def test_a_second_call_writes_nothing_and_says_nothing(copy: Home) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in copy.root.rglob("*")}

    before, said = times(), list[str]()
    ensure_banks(copy, progress=said.append)
    assert times() == before
    assert said == []


def test_one_bank_that_is_missing_is_made_again_by_the_same_network(copy: Home) -> None:
    before, said = hashes(copy), list[str]()
    folder = find_bank(copy, "digits-cnn", None, "blobs")
    assert folder is not None
    remove(folder)
    ensure_banks(copy, progress=said.append)
    assert hashes(copy) == before
    assert said == ["running digits-cnn on blobs (1 of 1)"]


def test_banks_of_weights_that_are_gone_give_way(copy: Home, made: Home) -> None:
    folder = copy.model_folder("digits-cnn")
    network = kept_network(folder, 8)
    assert network is not None
    other = Network({name: weight * 1.01 for name, weight in network.weights.items()})
    keep_weights(folder, other)
    ensure_banks(copy)
    assert {m.identity.weights_sha256 for _, m in find_banks(copy)} == {weights_sha256(other)}
    assert head_sha256(read_head(copy.head_folder("digits-cnn", None, "digits-8"))) == head_sha256(other.head)
    (folder / FILE).unlink()
    ensure_banks(copy)
    assert hashes(copy) == hashes(made)


def test_another_seed_is_another_network_beside_the_first(copy: Home) -> None:
    before = hashes(copy)
    ensure_banks(copy, model_seed=1)
    seeds: dict[int | None, set[str | None]] = {}
    for _, manifest in find_banks(copy):
        seeds.setdefault(manifest.identity.model_seed, set()).add(manifest.identity.weights_sha256)
    assert seeds.keys() == {None, 1}
    assert len(seeds[None] | seeds[1]) == 2
    assert {m.identity.set: m.bank_sha256 for _, m in find_banks(copy) if m.identity.model_seed is None} == before
    assert accuracy(open_bank(find_bank(copy, "digits-cnn", 1, "digits-test") or Path())) > 0.95


@pytest.mark.parametrize("where", KILLS)
def test_after_a_kill_the_same_call_makes_the_same_banks(where: str, made: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(kill=KILLS[where]), str(home.root)], env=os.environ, check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert len(find_banks(home)) < 35
    ensure_banks(home)
    assert hashes(home) == hashes(made)
    assert not [path for path in home.root.rglob("*") if path.name.endswith((".tmp", ".new"))]


def test_two_processes_at_once_make_the_banks_once(made: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    code = CHILD.format(kill="step = lambda words: print(words, flush=True)")
    command = [sys.executable, "-c", code, str(home.root)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert "".join(said).count("training digits-cnn") == 1
    assert hashes(home) == hashes(made)


def test_generators_and_threads_are_left_alone(tmp_path: Path) -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    ensure_banks(Home(tmp_path), model_seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(RequestError, match=r"a seed of digits-cnn is a whole number from 0 .*, got -1"):
        ensure_banks(home, model_seed=-1)
    assert not home.root.exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RequestError, match=r"cannot write .*file"):
        ensure_banks(Home(tmp_path / "file"))
    monkeypatch.setattr("ood_bench.digits.images.NOISE_IMAGES", 249)
    with pytest.raises(IntegrityError, match=r"uniform-noise should have 250 images .*, but 249 with list"):
        ensure_banks(home)
    assert find_banks(home) == []
