"""Import under kill -9: whatever was cut off, the same command completes it, and nothing is lost or there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# One process, so that torch is imported once. It forks a child for every fsync of an import; the child dies there by
# SIGKILL. Then the same import runs to its end.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from ood_bench.bank.catalog import find_banks, find_interrupted
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.suites import list_suites

directory, root, replace = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "replace"
real, calls, last = os.fsync, 0, None

def counting(descriptor):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)

def run(home, source, replace=False):
    return import_folder(home, source, model="net", suite="mine", fit="a", test="b", far=["c"], replace=replace)

def kept(home):
    # hidden temporary files and a writer's journal beside a manifest are litter that no reader looks at
    files = sorted(
        str(path.relative_to(home.root))
        for path in home.root.rglob("*")
        if path.is_file() and path.name[0] != "." and path.name != "journal.json" and not path.match("shard-*.json")
    )
    hashes = {manifest.identity.set: manifest.bank_sha256 for _, manifest in find_banks(home)}
    suites = [suite.name for suite in list_suites(home) if suite.origin == "home"]
    return {"files": files, "hashes": hashes, "interrupted": len(find_interrupted(home)), "suites": suites}

def prepare(home):
    if replace:
        run(home, directory / "old")

os.fsync = counting
prepare(whole := Home(root / "whole"))
calls = 0
run(whole, directory / "new", replace)
answer = {"whole": kept(whole), "cut": [], "torn": 0}
for point in range(1, calls + 1):
    home = Home(root / str(point))
    prepare(home)
    child = os.fork()
    if child == 0:
        calls, last = 0, point
        run(home, directory / "new", replace)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (point, status)
    answer["torn"] += find_banks(home) != find_banks(whole)
    run(home, directory / "new", replace)
    answer["cut"].append(kept(home))
print(json.dumps(answer))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks children to kill them")
@pytest.mark.parametrize("mode", ["new", "replace"])
def test_an_import_killed_at_any_write_completes_when_repeated(tmp_path: Path, mode: str) -> None:
    for version, age in enumerate(("old", "new")):
        (tmp_path / age).mkdir()
        for seed, name in enumerate("abc"):
            rng = np.random.default_rng(10 * version + seed)
            features, labels = rng.normal(size=(5, 3)).astype(np.float32), rng.integers(0, 2, 5)
            np.savez(tmp_path / age / f"{name}.npz", features=features, logits=features[:, :2], labels=labels)
        np.savez(tmp_path / age / "head.npz", W=np.eye(2, 3), b=np.full(2, 0.0))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(tmp_path / "homes"), mode],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    whole = answer["whole"]
    assert (len(whole["hashes"]), whole["interrupted"], whole["suites"]) == (3, 0, ["mine"])
    # the test can fail only where the cut left something undone, which must hold for most of the points
    assert answer["torn"] > len(answer["cut"]) / 2 > 5
    for point, kept in enumerate(answer["cut"], 1):
        assert kept == whole, f"killed at write {point}"
