"""Seconds and peak memory of a piece of work: the least of several tries, since other programs only ever add to it."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_now = [time.perf_counter]
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def use_processor_time() -> None:
    """Count this process's processor seconds: on a busy machine, with one thread, what a quiet one would take."""
    _now[0] = time.process_time


def now() -> float:
    return _now[0]()


def best(work: Callable[[], object], *, tries: int = 5, seconds: float = 2.0) -> float:
    """The least seconds of at least two tries, at most `tries`, until `seconds` are spent."""
    least, spent = float("inf"), 0.0
    for count in range(1, tries + 1):
        started = now()
        work()
        took = now() - started
        least, spent = min(least, took), spent + took
        if count >= 2 and spent >= seconds:
            break
    return least


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What the work returned, and its seconds."""
    started = now()
    result = work()
    return result, now() - started


class PeakMemory:
    """Bytes of resident memory above the start (or above `base`) at the worst moment; None where /proc does not tell."""

    def __init__(self, base: int | None = None) -> None:
        self.base = base

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self.above: int | None = None
        try:
            _CLEAR.write_text("5")  # the high-water mark begins anew
            self.before = resident("VmRSS") if self.base is None else self.base
        except OSError:
            self.before = None
        return self

    def __exit__(self, *_: object) -> None:
        peak = resident("VmHWM") if self.before is not None else None
        self.above = None if peak is None or self.before is None else peak - self.before


def resident_with_torch() -> int | None:
    """Resident bytes of a process that has imported torch and done nothing else."""
    code = "import torch; from pathlib import Path; print(Path('/proc/self/status').read_text())"
    try:
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError:  # no /proc on this system
        return None
    return _field(said, "VmRSS")


def resident(field: str) -> int | None:
    """`VmRSS` (now) or `VmHWM` (at most since the mark was set) of this process, in bytes."""
    return _field(_STATUS.read_text(), field)


def _field(status: str, name: str) -> int | None:
    line = next((line for line in status.splitlines() if line.startswith(name)), None)
    return None if line is None else int(line.split()[1]) * 1024
