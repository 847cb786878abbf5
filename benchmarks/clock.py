"""Seconds and peak memory of a piece of work: the least of several tries, since other programs only ever add to it."""

from __future__ import annotations

import gc
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
    """Bytes of resident memory above the start, at the worst moment; None where Linux's /proc does not tell."""

    def __enter__(self) -> PeakMemory:
        gc.collect()
        self.above: int | None = None
        try:
            _CLEAR.write_text("5")  # the high-water mark begins anew
            self.before = resident("VmRSS")
        except OSError:
            self.before = None
        return self

    def __exit__(self, *_: object) -> None:
        peak = resident("VmHWM") if self.before is not None else None
        self.above = None if peak is None or self.before is None else peak - self.before


def resident(field: str) -> int | None:
    """`VmRSS` (now) or `VmHWM` (at most since the mark was set) of this process, in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return None
