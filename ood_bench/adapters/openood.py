"""OpenOOD's own post-processors on a bank: a stand-in network reads features and logits where theirs runs on images.

Their package is only in git, and importing it whole needs packages that it does not declare. So the one module that is
wanted (and the few that it refers to) is executed under a name of ours, and what it lacks is said.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ood_bench.adapters.foreign import Foreign, Learnt
from ood_bench.batch import Batch
from ood_bench.errors import RequestError
from ood_bench.naming import unknown
from ood_bench.parameters import Scalar
from ood_bench.types import FEATURES, FIT, FIT_LABELS, HEAD, LOGITS, VAL, Head

SOURCE = "openood"
OURS = "ood_bench_openood"  # the name under which their modules are executed, so that theirs stays importable
DATASET = "bank"  # what we call the ID set to their table of class counts
ROWS = 512  # per batch of a set that they learn from


@dataclass(frozen=True, slots=True)
class Known:
    """Where a post-processor is, what it needs, and the parameters that its configuration has, with their defaults."""

    module: str
    cls: str
    needs: tuple[str, ...]
    parameters: Mapping[str, Scalar]
    network: tuple[str, str] | None = None  # module and class of the network that wraps ours


_TRAIN, _TRAINED_HEAD = (LOGITS, FEATURES, FIT, FIT_LABELS), (LOGITS, FEATURES, HEAD, FIT, FIT_LABELS)
_ON_VAL, _HEAD = (LOGITS, FEATURES, HEAD, VAL), (LOGITS, FEATURES, HEAD)
KNOWN: dict[str, Known] = {
    "msp": Known("base", "BasePostprocessor", (LOGITS,), {}),
    "mls": Known("maxlogit", "MaxLogitPostprocessor", (LOGITS,), {}),
    "ebo": Known("ebo", "EBOPostprocessor", (LOGITS,), {"temperature": 1.0}),
    "gen": Known("gen", "GENPostprocessor", (LOGITS,), {"gamma": 0.1, "M": 100}),
    "klm": Known("kl_matching", "KLMatchingPostprocessor", (LOGITS, VAL), {}),
    "openmax": Known("openmax", "OpenMax", (LOGITS, FIT, FIT_LABELS), {}),
    "react": Known("react", "ReactPostprocessor", _ON_VAL, {"percentile": 90.0}, ("react_net", "ReactNet")),
    "vra": Known("vra", "VRAPostprocessor", _ON_VAL, {"percentile_high": 90.0, "percentile_low": 10.0}),
    "dice": Known("dice", "DICEPostprocessor", _TRAINED_HEAD, {"p": 90.0}),
    "ash": Known("ash", "ASHPostprocessor", _HEAD, {"percentile": 90.0}, ("ash_net", "ASHNet")),
    "scale": Known("scale", "ScalePostprocessor", _HEAD, {"percentile": 85.0}, ("scale_net", "ScaleNet")),
    "gradnorm": Known("gradnorm", "GradNormPostprocessor", _HEAD, {}),
    "fdbd": Known("fdbd", "fDBDPostprocessor", _TRAINED_HEAD, {"distance_as_normalizer": True}),
    "nci": Known("nci", "NCIPostprocessor", _TRAINED_HEAD, {"alpha": 1e-4}),
    "mds": Known("mds", "MDSPostprocessor", _TRAIN, {}),
    "rmds": Known("rmds", "RMDSPostprocessor", _TRAIN, {}),
    "vim": Known("vim", "VIMPostprocessor", _TRAINED_HEAD, {"dim": 256}),
    "residual": Known("residual", "ResidualPostprocessor", _ON_VAL, {"dim": 512}),
    "knn": Known("knn", "KNNPostprocessor", _TRAIN, {"K": 50}),
    "nnguide": Known("nnguide", "NNGuidePostprocessor", _TRAIN, {"K": 100, "alpha": 0.01}),
    "she": Known("she", "SHEPostprocessor", _TRAIN, {"metric": "inner_product"}),
    "relation": Known("relation", "RelationPostprocessor", _TRAIN, {"pow": 1.0}),
}


def find(name: str) -> Foreign:
    """The post-processor that OpenOOD calls so; RequestError where it is unknown or OpenOOD is not there."""
    if name not in KNOWN:
        raise unknown("post-processor of OpenOOD that a cache can answer", name, KNOWN)
    known, file = KNOWN[name], _folder(name) / "postprocessors" / f"{KNOWN[name].module}_postprocessor.py"
    if not file.is_file():
        raise RequestError(f"{SOURCE}:{name} expects {file}, but this OpenOOD has no such file; take another version")

    def make(values: Mapping[str, Scalar], learnt: Learnt) -> Callable[[Batch], Float[Tensor, " n"]]:
        return _fitted(name, values, learnt)

    return Foreign(
        name=f"{SOURCE}:{name}",
        paper="as OpenOOD v1.5 computes it, arXiv:2306.09301",
        needs=known.needs,
        release=f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}",
        parameters=tuple((key, type(value), value) for key, value in known.parameters.items()),
        make=make,
        source=str(file),
    )


def _fitted(name: str, values: Mapping[str, Scalar], learnt: Learnt) -> Callable[[Batch], Float[Tensor, " n"]]:
    known = KNOWN[name]
    classes = learnt.info.n_classes or 0
    reads_features = FEATURES in known.needs
    network: Any = CachedNetwork(learnt.head, (learnt.info.n_features or 0) if reads_features else 0)
    if known.network is not None:
        network = getattr(_load(name, "networks", known.network[0]), known.network[1])(network)
    module = _load(name, "postprocessors", f"{known.module}_postprocessor")
    table = getattr(module, "num_classes_dict", None)
    config = SimpleNamespace(
        postprocessor=SimpleNamespace(postprocessor_args=SimpleNamespace(**values), postprocessor_sweep={}),
        dataset=SimpleNamespace(name=DATASET),
    )
    sets = {"train": learnt.train, "val": learnt.val}
    loaders = {key: Loader.of(rows, reads_features) for key, rows in sets.items() if rows is not None}
    loaders["test"] = loaders.get("val") or Loader.nothing()  # `residual` reads it, and uses it for nothing
    with _where_they_run(), _quietly(), _counted(table, classes):
        detector = getattr(module, known.cls)(config)
        detector.setup(network, loaders, None)

    def score(batch: Batch) -> Float[Tensor, " n"]:
        features = batch.features if reads_features else None
        with _where_they_run(), _quietly():
            _, confidence = detector.postprocess(network, _place(_joined(features, batch.logits)))
        return torch.as_tensor(confidence)

    return score


class CachedNetwork(nn.Module):
    """Answers as their networks do, for rows that are features and logits side by side."""

    def __init__(self, head: Head | None, width: int) -> None:
        super().__init__()
        self.width = width
        if head is not None:
            self.fc = nn.Linear(head.n_features, head.n_classes)
            with torch.no_grad():
                self.fc.weight.copy_(head.weight)
                self.fc.bias.copy_(head.bias)
            self.fc.requires_grad_(False)
            self.fc.to(_device())

    def forward(self, rows: Tensor, return_feature: bool = False, return_feature_list: bool = False) -> Any:
        features, logits = rows[:, : self.width].clone(), rows[:, self.width :].clone()
        return (logits, features) if return_feature else logits

    def get_fc(self) -> tuple[Any, Any]:
        return self.fc.weight.detach().cpu().numpy(), self.fc.bias.detach().cpu().numpy()

    def get_fc_layer(self) -> nn.Module:
        return self.fc


@dataclass(frozen=True)
class Loader:
    """Batches as their loaders give them."""

    data: Tensor
    labels: Tensor
    batch_size: int = ROWS

    @classmethod
    def of(cls, rows: Any, reads_features: bool) -> Loader:
        return cls(_joined(rows.features if reads_features else None, rows.logits), rows.labels.cpu())

    @classmethod
    def nothing(cls) -> Loader:
        return cls(torch.zeros(0, 0), torch.zeros(0, dtype=torch.int64))

    @property
    def dataset(self) -> Tensor:
        return self.data

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for at in range(0, len(self.data), self.batch_size):
            part = slice(at, at + self.batch_size)
            yield {"data": self.data[part], "label": self.labels[part]}


def _joined(features: Tensor | None, logits: Tensor) -> Tensor:
    parts = [logits] if features is None else [features, logits]
    return torch.cat([part.detach().cpu().float() for part in parts], dim=1)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _place(rows: Tensor) -> Tensor:
    return rows.to(_device())


@contextmanager
def _quietly() -> Iterator[None]:
    """They print, and show progress bars."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield


@contextmanager
def _where_they_run() -> Iterator[None]:
    """Their code calls `.cuda()` without asking. Where there is no GPU, that does nothing for as long as it runs."""
    if torch.cuda.is_available():
        yield
        return

    def stay(self: Any, *_: Any, **__: Any) -> Any:
        return self

    with patch.object(Tensor, "cuda", stay), patch.object(nn.Module, "cuda", stay):
        yield


@contextmanager
def _counted(table: dict[str, int] | None, classes: int) -> Iterator[None]:
    """Their table of class counts knows four ID sets; ours is in it while a detector is made."""
    if table is None:
        yield
        return
    table[DATASET] = classes
    try:
        yield
    finally:
        del table[DATASET]


def _folder(name: str) -> Path:
    spec = importlib.util.find_spec("openood")
    if spec is None or not spec.submodule_search_locations:
        raise RequestError(
            f"{SOURCE}:{name} needs OpenOOD's source on the path; pip install git+https://github.com/Jingkang50/OpenOOD, "
            "or put a checkout on PYTHONPATH"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _load(name: str, part: str, module: str) -> ModuleType:
    """One of their modules, without the `__init__` beside it, which would import all of them."""
    package = f"{OURS}.{part}"
    for key, path in ((OURS, _folder(name)), (package, _folder(name) / part)):
        if key not in sys.modules:
            sys.modules[key] = ModuleType(key)
            sys.modules[key].__path__ = [str(path)]
    try:
        with _without_their_utilities():
            return importlib.import_module(f"{package}.{module}")
    except ImportError as error:
        raise RequestError(
            f"{SOURCE}:{name} runs OpenOOD's {part}/{module}.py, which needs {error.name or error}; install that package"
        ) from error


@contextmanager
def _without_their_utilities() -> Iterator[None]:
    """Their base class imports helpers for distributed runs only to hide a progress bar that is never shown here."""
    name = "openood.utils.comm"
    if name in sys.modules:
        yield
        return
    parents = {key: ModuleType(key) for key in ("openood", "openood.utils", name)}
    kept = {key: sys.modules[key] for key in parents if key in sys.modules}
    sys.modules.update(parents)
    parents["openood"].utils = parents["openood.utils"]  # type: ignore[attr-defined]  # a module's attributes are free
    parents["openood.utils"].comm = parents[name]  # type: ignore[attr-defined]  # as above
    try:
        yield
    finally:
        for key in parents:
            sys.modules.pop(key, None)
        sys.modules.update(kept)
