"""Idle OpenMP threads wait briefly under the command line, and as long as the user says where they say so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ood_bench.waiting import SPINS

SHOW = f"""
import os, sys
from ood_bench.cli import main
try:
    main(["--version"])
finally:
    print(os.environ["{SPINS}"], "torch" in sys.modules)
"""


@pytest.mark.parametrize(("said", "expected"), [(None, "1000 False"), ("77", "77 False")])
def test_it_is_set_before_torch_is_there(said: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != SPINS}
    if said is not None:
        environment[SPINS] = said
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == expected
