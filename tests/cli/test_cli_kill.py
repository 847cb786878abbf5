"""kill -9 at many moments of an import and of a run; then the same command again: nothing lost, twice, or half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from npz_folder import FLAGS, write_folder

# One process imports everything once and forks a child for each moment. A moment is a file that becomes visible or
# reaches the disk (fsync, rename, link): before the chosen one the child is killed as by `kill -9`. The same command
# then runs to its end in a second child, and readers look at the home in between and after.
SCRIPT = """
import hashlib, json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from ood_bench.bank.catalog import find_banks
from ood_bench.bank.verify import verify
from ood_bench.cli import main
from ood_bench.home import Home
from ood_bench.registry import load_all
from ood_bench.store.store import Store
from ood_bench.suites import list_suites
import ood_bench.cli.importing, ood_bench.cli.run

what, root, every, *arguments = sys.argv[1:]
load_all()
calls, last = 0, None

def watched(real):
    def call(*given, **named):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return call

for name in ("fsync", "link", "replace", "rename"):
    setattr(os, name, watched(getattr(os, name)))

def prepare(home):
    if what == "run":
        child = os.fork()
        if child == 0:
            command(home, IMPORT)
        assert os.waitpid(child, 0)[1] == 0

def command(home, words):
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    try:
        main([*words, "--home", str(home)])
    except SystemExit as exit_:
        code = exit_.code
    if (told := os.environ.get("CALLS")):
        Path(told).write_text(str(calls))
    os._exit(code)

def child(home, words, kill_at=None):
    global last, calls
    pid = os.fork()
    if pid == 0:
        calls, last = 0, kill_at
        command(home, words)
    return os.waitpid(pid, 0)[1]

def kept(root):
    # Every finished thing as its readers see it; temporary files and a writer's journal are read by nobody.
    home = Home(root)
    store = Store(home)
    banks = {str(folder.relative_to(root)): manifest.bank_sha256 for folder, manifest in find_banks(home)}
    broken = [trouble for folder, _ in find_banks(home) for trouble in verify(folder)]
    records = {record.key.sha256: hashlib.sha256(store.scores(record).tobytes()).hexdigest() for record in store.records()}
    outcomes = sorted(manifest.bank_sha256[:8] for _, manifest in find_banks(home) if store.outcomes(manifest.bank_sha256))
    return {"banks": banks, "broken": broken, "records": records, "outcomes": outcomes,
            "suites": [suite.name for suite in list_suites(home) if suite.origin == "home"],
            "runs": len(list(store.runs()))}

split = arguments.index("--")
IMPORT, RUN = arguments[:split], arguments[split + 1:]
words = IMPORT if what == "import" else RUN
root = Path(root)
prepare(root / "whole")
os.environ["CALLS"] = str(root / "calls")
assert child(root / "whole", words) == 0
total = int((root / "calls").read_text())
del os.environ["CALLS"]
whole = kept(root / "whole")
answer = {"total": total, "whole": whole, "cut": []}
for point in range(1, total + 1, max(1, total // int(every))):
    home = root / str(point)
    prepare(home)
    status = child(home, words, point)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (point, status)
    between = kept(home)
    status = child(home, words)
    answer["cut"].append({"point": point, "between": between, "status": status, "after": kept(home)})
print(json.dumps(answer))
"""
MOMENTS = 8
SCORERS = ("--scorer", "msp", "--scorer", "vim", "--scorer", "react")


def killed(what: str, tmp_path: Path) -> dict[str, Any]:
    tensors = write_folder(tmp_path / "tensors")
    words = ["import", str(tensors), "--model", "net", "--suite", "mine", *FLAGS]
    run = ["run", "--suite", "mine", "--task", "ood", *SCORERS]
    (tmp_path / "homes").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, what, str(tmp_path / "homes"), str(MOMENTS), *words, "--", *run],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks children to kill them")


def test_an_import_that_was_killed_is_completed_by_the_same_command(tmp_path: Path) -> None:
    answer = killed("import", tmp_path)
    whole = answer["whole"]
    assert (len(whole["banks"]), whole["broken"], whole["suites"]) == (6, [], ["mine"])
    assert len(answer["cut"]) >= MOMENTS
    torn = 0
    for cut in answer["cut"]:
        between = cut["between"]
        torn += between != whole
        assert between["broken"] == []
        assert between["banks"].items() <= whole["banks"].items()
        assert between["suites"] == [] or between["banks"] == whole["banks"]  # the suite comes last
        assert (cut["status"], cut["after"]) == (0, whole), cut["point"]
    assert torn > MOMENTS / 2  # the test can fail only where the cut left something to do


def test_a_run_that_was_killed_is_completed_by_the_same_command(tmp_path: Path) -> None:
    answer = killed("run", tmp_path)
    whole = answer["whole"]
    assert (len(whole["records"]), len(whole["outcomes"]), whole["runs"]) == (3 * 4, 4, 1)
    assert len(answer["cut"]) >= MOMENTS
    torn = 0
    for cut in answer["cut"]:
        between, after = cut["between"], cut["after"]
        torn += between["records"] != whole["records"]
        assert between["records"].items() <= whole["records"].items()
        assert cut["status"] == 0
        # a cut after the run was kept makes the second command a second run; its scores are those of the first
        assert {**after, "runs": 1} == whole, cut["point"]
        assert after["runs"] == between["runs"] + 1 <= 2
    assert torn > MOMENTS / 2
