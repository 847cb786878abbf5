"""pytorch-ood's own detectors on a bank: fitted by `fit_*`, asked by `predict_*`, their sign turned."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ood_bench.adapters.foreign import Foreign, Learnt
from ood_bench.batch import Batch
from ood_bench.errors import RequestError
from ood_bench.naming import unknown
from ood_bench.parameters import Scalar
from ood_bench.types import FEATURES, FIT, FIT_LABELS, HEAD, LOGITS, Head

SOURCE = "pytorch-ood"
NETWORKS = ("model", "encoder", "backbone")  # what runs a network, which a bank has done already
LAST_LAYER = ("head", "w", "b")
KINDS = ("logits", "features", "feature_maps")


def find(name: str) -> Foreign:
    """The detector class of that name (in any case); RequestError where there is none or a cache cannot answer it."""
    try:
        package = importlib.import_module("pytorch_ood.detector")
    except ImportError as error:
        raise RequestError(
            f"{SOURCE}:{name} needs the package pytorch-ood, but {error}; pip install pytorch-ood"
        ) from error
    found = {
        attribute.lower(): attribute for attribute in package.__all__ if inspect.isclass(getattr(package, attribute))
    }
    if name.lower() not in found:
        raise unknown(f"detector of {SOURCE}", name, found.values())
    cls = getattr(package, found[name.lower()])
    kind = next((kind for kind in KINDS if hasattr(cls, f"predict_{kind}")), None)
    if kind is None:
        raise RequestError(f"{SOURCE}:{name} runs the network on images, which a bank does not hold; import its scores")
    signature = inspect.signature(cls.__init__).parameters
    needs = [LOGITS if kind == "logits" else FEATURES]
    needs += [HEAD] if set(signature) & set(LAST_LAYER) else []
    needs += [FIT, FIT_LABELS] if cls.requires_fit else []

    def make(values: Mapping[str, Scalar], learnt: Learnt) -> Callable[[Batch], Float[Tensor, " n"]]:
        return _fitted(cls, kind, values, learnt)

    return Foreign(
        name=f"{SOURCE}:{cls.__name__}",
        paper=_paper(cls),
        needs=tuple(needs),
        release=f"{SOURCE} {version(SOURCE)}",
        parameters=tuple(_parameters(name, signature)),
        make=make,
        source=inspect.getsourcefile(cls) or SOURCE,
    )


def _parameters(name: str, signature: Mapping[str, inspect.Parameter]) -> Any:
    for key, parameter in signature.items():
        if key in ("self", *NETWORKS, *LAST_LAYER) or parameter.kind is parameter.VAR_KEYWORD:
            continue
        kinds = _scalars(parameter.annotation) or _scalars(type(parameter.default))
        if kinds and parameter.default is inspect.Parameter.empty:
            yield key, kinds, dataclasses.MISSING
        elif kinds:
            yield key, kinds, parameter.default
        elif parameter.default is inspect.Parameter.empty:
            raise RequestError(f"{SOURCE}:{name} needs {key}, which is no number or text; it is not adapted")


def _scalars(annotation: Any) -> Any:
    """The annotation where a command line can write its values, else None."""
    parts = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else None
    known = all(part in (bool, int, float, str, type(None)) for part in parts or (annotation,))
    return annotation if known and annotation is not type(None) else None


def _fitted(
    cls: Any, kind: str, values: Mapping[str, Scalar], learnt: Learnt
) -> Callable[[Batch], Float[Tensor, " n"]]:
    signature = inspect.signature(cls.__init__).parameters
    arguments: dict[str, Any] = {key: None for key in NETWORKS if key in signature}
    if set(signature) & set(LAST_LAYER):
        weight, bias = learnt.head.weight.float().cpu(), learnt.head.bias.float().cpu()
        given = {"head": _linear(learnt.head, maps=kind == "feature_maps"), "w": weight, "b": bias}
        arguments |= {key: given[key] for key in LAST_LAYER if key in signature}
    detector = cls(**arguments, **values)
    if cls.requires_fit:
        rows = learnt.train.logits if kind == "logits" else learnt.train.features
        getattr(detector, f"fit_{kind}")(_shaped(rows, kind), learnt.train.labels.cpu())

    def score(batch: Batch) -> Float[Tensor, " n"]:
        outlier: Tensor = getattr(detector, f"predict_{kind}")(
            _shaped(batch.logits if kind == "logits" else batch.features, kind)
        )
        return -outlier

    return score


def _shaped(rows: Tensor, kind: str) -> Tensor:
    """A copy (some detectors write into what they are given), in float32, as 1 x 1 maps where maps are wanted."""
    plain = rows.detach().cpu().float().clone()
    return plain[:, :, None, None] if kind == "feature_maps" else plain


def _linear(head: Head, *, maps: bool) -> nn.Module:
    layer = nn.Linear(head.n_features, head.n_classes)
    with torch.no_grad():
        layer.weight.copy_(head.weight)
        layer.bias.copy_(head.bias)
    layer.requires_grad_(False)
    return nn.Sequential(nn.Flatten(), layer) if maps else layer


def _paper(cls: Any) -> str:
    paper = getattr(cls.info, "paper", None)
    return "" if paper is None else f"{paper.venue} {paper.year}, {paper.url}"
