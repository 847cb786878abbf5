"""What all tests share: shapes checked at run time, the shared real data, a home of its own for each test."""

from __future__ import annotations

import os
from pathlib import Path

# The workers of pytest-xdist share the cores: a thread each, also for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from jaxtyping import install_import_hook

install_import_hook("ood_bench", "typechecking.typechecker")

SHARED = Path(os.environ.get("OOD_BENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real banks and reference values that is handed around beside the repository."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"the shared reference data is not at {SHARED} (set OOD_BENCH_SHARED to where it is)")
    return SHARED


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home folder that the program uses by default."""
    folder = tmp_path / "home"
    monkeypatch.setenv("OOD_BENCH_HOME", str(folder))
    return folder
