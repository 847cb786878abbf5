"""Random numbers that stay the same: drawn from the raw PCG64 stream, which NumPy promises never to change."""

from __future__ import annotations

import math
import zlib

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

SEED = 0  # of every choice in the suite; the TOML file records it with each set


def uniform(purpose: str, *shape: int) -> Float[np.ndarray, "..."]:
    """Numbers in (0, 1); each `purpose` has a stream of its own.

    NumPy's distributions (`normal`, `permutation`) may change between its versions, and the suite's hashes may not.
    """
    stream = np.random.PCG64(np.random.SeedSequence((SEED, zlib.crc32(purpose.encode()))))
    raw = stream.random_raw(math.prod(shape)) >> np.uint64(11)
    return (raw.astype(np.float64) * 2.0**-53 + 2.0**-54).reshape(shape)


def normal(purpose: str, *shape: int) -> Float[np.ndarray, "..."]:
    """Standard normal numbers, by the inverse of the distribution function."""
    return np.asarray(ndtri(uniform(purpose, *shape)))
