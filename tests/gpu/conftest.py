"""Tests that need a CUDA device; without one they skip, and say so."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch sees none here")
    return torch.device("cuda")
