"""Every test here sees the shipped scorers and leaves no plug-in behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shipped_scorers import shipped_scorers


@pytest.fixture(autouse=True)
def _shipped_scorers_alone() -> Iterator[None]:
    with shipped_scorers():
        yield
