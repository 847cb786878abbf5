"""How long torch's idle threads wait for work before they let others run."""

from __future__ import annotations

import os

SPINS = "GOMP_SPINCOUNT"  # of the OpenMP library that torch brings on Linux; read when torch is imported


def wait_briefly() -> None:
    """Before torch is imported: a few microseconds of busy waiting instead of milliseconds, unless the user says otherwise.

    An idle OpenMP thread keeps its core, and the threads that select with NumPy (`selection.py`) run one after the other.
    """
    os.environ.setdefault(SPINS, "1000")
