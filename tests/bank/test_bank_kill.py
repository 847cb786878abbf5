"""kill -9 at every step that reaches the disk, then the same command: the bank is as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# One interpreter does it all, because starting torch is slow: each attempt is a forked child that kills itself with
# SIGKILL at its k-th call that changes the disk.
DRIVER = """
import hashlib, json, os, shutil, signal, sys, warnings
from pathlib import Path
import torch
torch.set_num_threads(1)
from ood_bench.bank.manifest import Identity, has_manifest
from ood_bench.bank.reader import open_bank
from ood_bench.bank.verify import verify
from ood_bench.bank.writer import BankWriter
from ood_bench.home import Home
from ood_bench.types import Head

root, scenario = Path(sys.argv[1]), sys.argv[2]
identity = Identity("m", None, "s", "a" * 64, "source", "x")
features = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
head = Head(torch.randn(3, 5, generator=torch.Generator().manual_seed(1)), torch.zeros(3))

def write(home, shift, replace):
    writer = BankWriter(home, identity, kind_of_labels="id", head=head, rows_per_shard=7, replace=replace)
    for start in range(writer.rows_done, 24, 4):
        part = features[start:start + 4] + shift
        writer.add([f"i{r}" for r in range(start, start + len(part))], {"features": part, "logits": head.logits(part)})
    writer.finish()

def forked(action):
    child = os.fork()
    if not child:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(3)
    return os.waitpid(child, 0)[1]

def killed_at(step, home, shift, replace):
    def count(name):
        original = getattr(os, name)
        def counted(*arguments, **options):
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)
        setattr(os, name, counted)
    left = step
    for name in ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir"):
        count(name)
    write(home, shift, replace)

def state(home):
    folder = identity.folder(home)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())
            if path.name != "manifest.json"} | {"bank": open_bank(folder).sha256}

def meaning(home):
    return open_bank(identity.folder(home)).sha256 if has_manifest(identity.folder(home)) else None

replace = scenario == "replace"
old, new = Home(root / "old"), Home(root / "new")
assert not forked(lambda: write(old, 0.0, False)) and not forked(lambda: write(new, 1.0, False))
expected = state(new)
kills = set()
step = 0
while True:
    step += 1
    home = Home(root / f"home-{step}")
    if replace:
        shutil.copytree(old.root, home.root)
    status = forked(lambda: killed_at(step, home, 1.0, replace))
    if status == 0:
        break
    assert status == signal.SIGKILL, status
    seen = meaning(home)
    assert seen in ({None, meaning(old), meaning(new)} if replace else {None, meaning(new)}), step
    if seen:
        assert verify(identity.folder(home)) == [], step
    kills.add({None: "interrupted", meaning(old): "old", meaning(new): "new"}[seen])
    assert forked(lambda: write(home, 1.0, replace)) == 0, step
    found = state(home)
    leftover = {name for name in found if name.startswith(".") or name.endswith(".json")}
    assert {name: found[name] for name in found if name not in leftover} == expected, step
    if seen != meaning(new):
        assert not leftover, (step, leftover)
        assert [path.name for path in identity.folder(home).parent.iterdir()] == [identity.folder(home).name], step
    shutil.rmtree(home.root)
print(json.dumps({"steps": step - 1, "kinds": sorted(kills)}))
"""


@pytest.mark.parametrize(("scenario", "kinds"), [("fresh", {"interrupted"}), ("replace", {"interrupted", "old"})])
def test_killed_at_every_step(tmp_path: Path, scenario: str, kinds: set[str]) -> None:
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, str(tmp_path), scenario]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["steps"] > 15
    assert kinds <= set(result["kinds"])
