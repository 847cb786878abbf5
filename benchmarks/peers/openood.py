"""OpenOOD's own post-processors, from a checkout, over cached tensors: an "image" is a row, the network its head.

Its package imports every dependency of every method at once; here each file is imported by itself, and a method whose
own dependency is missing is reported. `.cuda()` is made to do nothing where there is no GPU.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace as Config
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.method import CHECKOUT, Method, Tensors, linear

ROWS = 200  # its batch size for ImageNet


def methods(tensors: Tensors) -> dict[str, Method]:
    """Its post-processors that work on last features or logits, with the parameters of ours."""
    checkout = os.environ.get(CHECKOUT)
    if not checkout:
        raise ImportError(f"the benchmark needs the path of an OpenOOD checkout (--openood, or ${CHECKOUT})")
    d, k = tensors.weight.shape[1], tensors.weight.shape[0]
    dim = 1000 if d >= 2048 else 512 if d >= 768 else d // 2
    p = 70 if k >= 1000 else 90
    neighbours = min(1000 if k >= 1000 else 50, len(tensors.fit_features))
    known: dict[str, tuple[str, str, str, dict[str, Any]]] = {
        "msp": ("msp", "base", "BasePostprocessor", {}),
        "mls": ("maxlogit", "maxlogit", "MaxLogitPostprocessor", {}),
        "ebo": ("energy", "ebo", "EBOPostprocessor", {"temperature": 1}),
        "gen": ("gen", "gen", "GENPostprocessor", {"gamma": 0.1, "M": min(100, k)}),
        "klm": ("klm", "kl_matching", "KLMatchingPostprocessor", {}),
        "vim": ("vim", "vim", "VIMPostprocessor", {"dim": dim}),
        "residual": ("residual", "residual", "ResidualPostprocessor", {"dim": dim}),
        "mds": ("mds", "mds", "MDSPostprocessor", {}),
        "rmds": ("rmds", "rmds", "RMDSPostprocessor", {}),
        "knn": ("knn", "knn", "KNNPostprocessor", {"K": neighbours}),
        "nnguide": ("nnguide", "nnguide", "NNGuidePostprocessor", {"K": 10, "alpha": 1}),
        "relation": ("relation", "relation", "RelationPostprocessor", {"pow": 1}),
        "she": ("she", "she", "SHEPostprocessor", {"metric": "inner_product"}),
        "dice": (f"dice:p={p}", "dice", "DICEPostprocessor", {"p": p}),
        "react": ("react", "react", "ReactPostprocessor", {"percentile": 99}),
        "gradnorm": ("gradnorm", "gradnorm", "GradNormPostprocessor", {}),
        "fdbd": ("fdbd", "fdbd", "fDBDPostprocessor", {"distance_as_normalizer": True}),
        "nci": ("nci", "nci", "NCIPostprocessor", {"alpha": 1e-4}),
    }
    found = {}
    for name, (ours, module, cls, args) in known.items():
        found[name] = _method(Path(checkout), ours, module, cls, args, tensors)
    return found


def _method(checkout: Path, ours: str, module: str, cls: str, args: dict[str, Any], tensors: Tensors) -> Method:
    held: list[Any] = []
    net = _Net(tensors)

    def fit(_: Tensors) -> object:
        held[:] = [_load(checkout, module, cls)(_config(args))]
        loaders = {split: _Batches(tensors, net) for split in ("train", "val", "test")}
        with _quietly():
            held[0].setup(net, loaders, loaders)
        return None

    def score(_: Tensors, rows: slice) -> Tensor:
        with _quietly():
            _, confidence = held[0].postprocess(net, tensors.features[rows])
        return torch.as_tensor(confidence)

    return Method(ours, score, fit, prepare=lambda: _load(checkout, module, cls), rows=ROWS)


class _Net(torch.nn.Module):
    """A network of which only the head is left: its image is the row of features."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        self.fc = linear(tensors)
        self.weight, self.bias = tensors.weight, tensors.bias

    def forward(self, rows: Tensor, return_feature: bool = False, **_: object) -> Any:
        logits = self.fc(rows)
        return (logits, rows) if return_feature else logits

    def forward_threshold(self, rows: Tensor, threshold: float) -> Tensor:
        logits: Tensor = self.fc(rows.clip(max=threshold))
        return logits

    def get_fc(self) -> tuple[np.ndarray, np.ndarray]:
        return self.weight.numpy(), self.bias.numpy()


class _Batches:
    """The fit rows as its loaders give them."""

    def __init__(self, tensors: Tensors, net: _Net) -> None:
        self.tensors, self.batch_size = tensors, ROWS
        self.dataset = tensors.fit_features

    def __len__(self) -> int:
        return -(-len(self.dataset) // ROWS)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        features, labels = self.tensors.fit_features, self.tensors.fit_labels
        for at in range(0, len(features), ROWS):
            yield {"data": features[at : at + ROWS], "label": labels[at : at + ROWS]}


def _config(args: dict[str, Any]) -> Config:
    return Config(
        postprocessor=Config(postprocessor_args=Config(**args), postprocessor_sweep=Config()),
        dataset=Config(name="benchmark"),
    )


def _load(checkout: Path, module: str, cls: str) -> Callable[[Config], Any]:
    for package in ("openood", "openood.postprocessors", "openood.utils"):
        if package not in sys.modules:
            stub = types.ModuleType(package)
            stub.__path__ = [str(checkout.joinpath(*package.split(".")))]
            sys.modules[package] = stub
    info = importlib.import_module("openood.postprocessors.info")
    info.num_classes_dict["benchmark"] = int(os.environ.get("BENCHMARK_CLASSES", "1000"))
    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
        torch.nn.Module.cuda = lambda self, *_: self  # type: ignore[method-assign]
    made: Callable[[Config], Any] = getattr(
        importlib.import_module(f"openood.postprocessors.{module}_postprocessor"), cls
    )
    return made


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
