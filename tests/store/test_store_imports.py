"""Reading a table starts fast: neither torch nor pandas is imported on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ood_bench.store.rows", {"torch", "pandas"}),
        ("ood_bench.store.leaderboard", {"torch", "pandas"}),
        ("ood_bench.store.seeds", {"torch", "pandas"}),
        ("ood_bench.store.frames", {"torch"}),
        ("ood_bench.render", {"torch", "pandas"}),
    ],
)
def test_what_is_not_imported(module: str, unwanted: set[str]) -> None:
    program = f"import sys, {module}; sys.exit(' '.join({unwanted!r} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
