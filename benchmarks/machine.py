"""The machine's own limits, measured in the same run as everything that is compared with them."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import scipy.linalg.blas
import torch

from benchmarks.clock import best
from benchmarks.problem import Size
from ood_bench.selection import largest


@dataclass(frozen=True)
class Limits:
    """Rates of one machine at one problem size. Bytes and operations are those that must be read and done."""

    size: Size
    copy: float  # bytes/s, read and written
    row_max: float  # bytes/s, over the logits
    read: float  # bytes/s of a row maximum over all fit features: more than any cache holds
    logsumexp: float  # seconds over the (n, K) logits
    logsumexp_double: float
    select_100: float  # seconds: the 100 largest logits of every row, in order, by the cheapest way found here
    select_all: float
    topk_100: float  # seconds: torch's own
    sgemm: float  # operations/s
    dgemm: float
    dsyrk: float  # operations/s of a whole product, of which it does half
    eigh: float  # seconds, d x d in float64
    disk: float  # bytes/s, from a file that is likely cached

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def measure(size: Size, folder: Path | None = None) -> Limits:
    n, d, k = size.n, size.d, size.k
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, k, generator=generator)
    rows = torch.randn(8192, d, generator=generator).relu_()
    weight = torch.randn(k, d, generator=generator)
    fit = torch.zeros(size.n_fit, d).fill_(1.0)
    wide, double = logits.double(), rows.double()
    target = torch.empty_like(logits)
    scatter = np.zeros((d, d), order="F")
    covariance = double.T @ double / len(double)
    return Limits(
        size=size,
        copy=2 * logits.nbytes / best(lambda: target.copy_(logits), tries=20),
        row_max=logits.nbytes / best(lambda: logits.amax(dim=1), tries=20),
        read=fit.nbytes / best(lambda: fit.amax(dim=1), tries=8),
        logsumexp=best(lambda: logits.logsumexp(dim=1), tries=20),
        logsumexp_double=best(lambda: wide.logsumexp(dim=1), tries=10),
        select_100=_cheapest(logits.numpy(), min(100, k)),
        select_all=_cheapest(logits.numpy(), k),
        topk_100=best(lambda: logits.topk(min(100, k), dim=1)),
        sgemm=2 * len(rows) * d * k / best(lambda: rows @ weight.T, tries=8),
        dgemm=2 * len(rows) * d * k / best(lambda: double @ weight.double().T, tries=5),
        dsyrk=2 * len(rows) * d * d / best(lambda: _syrk(double, scatter), tries=5, seconds=4),
        eigh=best(lambda: torch.linalg.eigh(covariance), tries=3, seconds=4),
        disk=_disk(folder),
    )


def name() -> dict[str, object]:
    """What a table must say of the machine that it was made on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def _cheapest(values: np.ndarray, count: int) -> float:
    """The least of torch's topk, NumPy's partition and sort, NumPy's whole sort, and our own on several threads."""
    m, tensor = values.shape[1], torch.from_numpy(values)
    ways: list[Callable[[], object]] = [lambda: tensor.topk(count, dim=1), lambda: np.sort(values, axis=1)]
    ways.append(lambda: largest(tensor, count))
    if count < m:
        ways.append(lambda: np.sort(np.partition(values, m - count, axis=1)[:, m - count :], axis=1))
    return min(best(way) for way in ways)


def _syrk(rows: torch.Tensor, scatter: np.ndarray) -> None:
    scipy.linalg.blas.dsyrk(1.0, rows.T.numpy(), beta=1.0, c=scatter, overwrite_c=1)


def _disk(folder: Path | None, size: int = 1 << 28) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file = Path(place) / "bytes"
        file.write_bytes(os.urandom(1 << 20) * (size >> 20))
        buffer = bytearray(1 << 24)

        def read() -> None:
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass

        return size / best(read)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
