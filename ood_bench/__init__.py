"""ood-bench: run the backbone once, score everything.

The public names load on first use, so that `import ood_bench` costs nothing and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ood_bench.api import Results, evaluate, get, load_bank, names, run
    from ood_bench.bank.memory import MemoryBank
    from ood_bench.bank.reader import DiskBank, open_bank
    from ood_bench.batch import Batch
    from ood_bench.detector import Detector, load_detector
    from ood_bench.errors import CannotScore, IntegrityError, OodBenchError, RequestError
    from ood_bench.extraction.python import extract
    from ood_bench.parameters import Range
    from ood_bench.registry import estimator, rectifier, scorer
    from ood_bench.types import Head

_PUBLIC = {
    "Batch": "ood_bench.batch",
    "CannotScore": "ood_bench.errors",
    "Detector": "ood_bench.detector",
    "DiskBank": "ood_bench.bank.reader",
    "Head": "ood_bench.types",
    "IntegrityError": "ood_bench.errors",
    "MemoryBank": "ood_bench.bank.memory",
    "OodBenchError": "ood_bench.errors",
    "Range": "ood_bench.parameters",
    "RequestError": "ood_bench.errors",
    "Results": "ood_bench.api",
    "estimator": "ood_bench.registry",
    "evaluate": "ood_bench.api",
    "extract": "ood_bench.extraction.python",
    "get": "ood_bench.api",
    "load_bank": "ood_bench.api",
    "load_detector": "ood_bench.detector",
    "names": "ood_bench.api",
    "open_bank": "ood_bench.bank.reader",
    "rectifier": "ood_bench.registry",
    "run": "ood_bench.api",
    "scorer": "ood_bench.registry",
}

__all__ = [
    "Batch",
    "CannotScore",
    "Detector",
    "DiskBank",
    "Head",
    "IntegrityError",
    "MemoryBank",
    "OodBenchError",
    "Range",
    "RequestError",
    "Results",
    "estimator",
    "evaluate",
    "extract",
    "get",
    "load_bank",
    "load_detector",
    "names",
    "open_bank",
    "rectifier",
    "run",
    "scorer",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("ood-bench")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ood_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
