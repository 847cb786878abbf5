"""Curves and hashes as short text: a page with thousands of histograms should still be a small file."""

from __future__ import annotations

import base64

import numpy as np
from jaxtyping import Float

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
COARSE, FINE = 64 - 1, 64 * 64 - 1  # steps of one and of two characters


def pack(values: Float[np.ndarray, " n"], *, fine: bool = False) -> str:
    """Values in [0, 1], one character each (64 steps), or two (4,096 steps), the higher digit first."""
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"packed values should be in [0, 1], got {values.min()} to {values.max()}")
    steps = np.rint(values * (FINE if fine else COARSE)).astype(int)
    if fine:
        return "".join(ALPHABET[step >> 6] + ALPHABET[step & 63] for step in steps)
    return "".join(ALPHABET[step] for step in steps)


def pack_hash(sha256: str) -> str:
    """64 hexadecimal digits as 43 characters."""
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
