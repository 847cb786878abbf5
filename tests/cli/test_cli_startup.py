"""What starts without torch: help, version, table and the lists of stored things. Modules are counted, not seconds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

# One process: every command after the other, and after each whether torch has been imported.
SCRIPT = """
import contextlib, io, json, sys
from ood_bench.cli import main

told = {}
for arguments in json.loads(sys.argv[1]):
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            main(arguments)
    except SystemExit as exit_:
        heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "torchvision", "sklearn"})
        told[" ".join(arguments)] = [exit_.code, heavy]
print(json.dumps(told))
"""
LIGHT = [
    ["--help"],
    ["--version"],
    ["list", "--help"],
    ["leaderboard", "--help"],
    *(["list", what] for what in ("models", "suites", "sets", "banks", "runs")),
    *(["list", what, "--json"] for what in ("models", "suites", "sets", "banks", "runs")),
    ["table", "--suite", "mine"],
    ["table", "--suite", "mine", "--json"],
    *(["table", "--suite", "mine", "--format", fmt] for fmt in ("markdown", "latex", "csv", "html")),
]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_light_commands_import_no_torch(home: Path, command: object) -> None:
    assert command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp").code == 0  # type: ignore[operator]  # the fixture
    done = python("-c", SCRIPT, json.dumps(LIGHT))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {" ".join(arguments): [0, []] for arguments in LIGHT}


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = python(
        "-c", "import sys, ood_bench; print(sorted({'torch', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]"


def test_help_imports_no_command(home: Path) -> None:
    code = "import sys\nfrom ood_bench.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
    code += (
        "print(sorted(name for name in sys.modules if name.startswith('ood_bench.') or name in ('numpy', 'pandas')))"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "['ood_bench.cli', 'ood_bench.errors', 'ood_bench.waiting']"


def test_python_m_is_the_same_program() -> None:
    done = python("-m", "ood_bench", "--version")
    assert done.stdout == f"ood-bench, version {version('ood-bench')}\n"
    assert (done.returncode, done.stderr) == (0, "")
    nothing = python("-m", "ood_bench")
    assert "Usage: ood-bench" in nothing.stdout + nothing.stderr


def test_every_command_has_a_help_that_says_something(command: object) -> None:
    from ood_bench.cli import COMMANDS

    for name, (_, what) in COMMANDS.items():
        done = command(name, "--help")  # type: ignore[operator]  # the fixture
        assert done.code == 0, name
        assert done.out.startswith(f"Usage: ood-bench {name}"), name
        assert what.endswith("."), name
    assert "executed" in command("run", "--help").out  # type: ignore[operator]  # what --plugin does
    assert "executed" in command("check-scorer", "--help").out  # type: ignore[operator]


@pytest.mark.parametrize("word", ["auto|cpu|cuda", "--memory", "--plugin", "--json", "--home", "--scorer", "--model"])
def test_the_flags_of_run(command: object, word: str) -> None:
    assert re.search(re.escape(word), command("run", "--help").out)  # type: ignore[operator]  # the fixture
