"""Fitted values as files: dataclasses of tensors and numbers become JSON and named tensors, and come back; no pickle.

Only dataclasses of this package are ever made again from a file, by calling them with their fields.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ood_bench.errors import IntegrityError, RequestError

_PACKAGE = "ood_bench."


def encode(value: Any, tensors: dict[str, Tensor], at: str = "value") -> Any:
    """`value` as JSON; its tensors are added to `tensors` under dotted names. RequestError names what cannot be saved."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Tensor):
        tensors[at] = value.detach().cpu().contiguous().clone()
        return {"tensor": at}
    if isinstance(value, np.ndarray):
        tensors[at] = torch.from_numpy(np.ascontiguousarray(value).copy())
        return {"array": at}
    if isinstance(value, tuple | list):
        items = [encode(item, tensors, f"{at}.{i}") for i, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if isinstance(value, Mapping):
        return {"dict": [[encode(k, tensors, f"{at}.key"), encode(v, tensors, f"{at}.{k}")] for k, v in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            "type": _name(type(value)),
            "fields": {
                field.name: encode(getattr(value, field.name), tensors, f"{at}.{field.name}")
                for field in dataclasses.fields(value)
                if field.init
            },
        }
    if callable(value) and getattr(value, "__module__", "").startswith(_PACKAGE):
        return {"function": _name(value)}
    raise RequestError(
        f"a fitted scorer is saved as dataclasses of tensors and numbers, but {at} is {type(value).__name__}"
    )


def decode(data: Any, tensors: Mapping[str, Tensor], where: str) -> Any:
    """What `encode` was given. IntegrityError where the file says something else than `encode` writes."""
    if data is None or isinstance(data, bool | int | float | str):
        return data
    try:
        match data:
            case {"float": str(text)}:
                return float(text)
            case {"tensor": str(name)}:
                return tensors[name]
            case {"array": str(name)}:
                return tensors[name].numpy()
            case {"tuple": list(items)}:
                return tuple(decode(item, tensors, where) for item in items)
            case {"list": list(items)}:
                return [decode(item, tensors, where) for item in items]
            case {"dict": list(pairs)}:
                return {decode(k, tensors, where): decode(v, tensors, where) for k, v in pairs}
            case {"type": str(name), "fields": dict(fields)}:
                made = _find(name, where)
                if not (isinstance(made, type) and dataclasses.is_dataclass(made)):
                    raise IntegrityError(f"{where} should name dataclasses of {_PACKAGE[:-1]}, got {name!r}")
                return made(**{key: decode(item, tensors, where) for key, item in fields.items()})
            case {"function": str(name)}:
                return _find(name, where)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{where} does not hold what it should ({error}); save the detector again") from error
    raise IntegrityError(f"{where} holds {str(data)[:60]!r}, which no detector is made of; save it again")


def _name(value: Any) -> str:
    module, name = value.__module__, value.__qualname__
    if not module.startswith(_PACKAGE):
        raise RequestError(f"only scorers of this package can be saved, but {name} comes from {module}")
    return f"{module}:{name}"


def _find(name: str, where: str) -> Any:
    module, _, attribute = name.partition(":")
    if not module.startswith(_PACKAGE) or not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise IntegrityError(f"{where} should name dataclasses of {_PACKAGE[:-1]}, got {name!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise IntegrityError(f"{where} was made by a version that has {name}, this one has not") from error
