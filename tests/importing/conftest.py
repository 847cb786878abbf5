"""A home of its own for each import."""

from __future__ import annotations

from pathlib import Path

import pytest

from ood_bench.home import Home


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")
