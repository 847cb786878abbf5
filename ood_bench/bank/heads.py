"""Heads on disk, their hashes, and how well a head reproduces the logits that a bank was given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ood_bench.bank.content import dtype_name, info_of
from ood_bench.canonical import canonical_json, sha256_of
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.files import write_atomically
from ood_bench.types import Head

HeadFit = tuple[float, float]  # largest error of the logits that a head gives, and the largest logit

SCHEMA = 1
FILE = "head.safetensors"
# A head whose error passes this share of the largest logit is not the layer that made the logits. Rounding of bf16
# storage stays below 0.4 % per feature and averages out over a row; a wrong or non-linear head is off by far more.
GROSS_ERROR = 1e-2
_CHUNK = 2048  # rows at a time in float64; fixed, so that the recorded error does not depend on how rows arrived


def head_sha256(head: Head) -> str:
    """Hash of the head's dtype, shapes and bytes."""
    infos = [info_of(tensor) for tensor in (head.weight, head.bias)]
    return sha256_of([[info.dtype, list(info.shape), info.sha256] for info in infos])


def check_head(head: Head) -> Head:
    """The head, if it is a finite (K, d) weight with K biases; otherwise an error that says what is wrong."""
    weight, bias = head.weight, head.bias
    if weight.ndim != 2 or tuple(bias.shape) != tuple(weight.shape[:1]) or not weight.numel():
        shapes = f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)}"
        raise RequestError(f"a head is a weight (K, d) and a bias (K,), got {shapes}; transpose or correct it")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise RequestError(f"the head's {name} should be finite floating-point numbers; export the head again")
    return head


def write_head(folder: Path, head: Head, label_space: str, *, replace: bool = False) -> str:
    """Write the head and return its hash. The same head again is a no-op; another needs `replace`."""
    digest = head_sha256(check_head(head))
    path = folder / FILE
    if has_head(folder) and not replace:
        present = head_sha256(read_head(folder))
        if present == digest:
            return digest
        raise RequestError(
            f"label space {label_space!r} already has another head at {path} ({present[:12]}, the new one is "
            f"{digest[:12]}); pass --replace to put the new one in its place"
        )
    tensors = {"weight": _plain(head.weight), "bias": _plain(head.bias)}
    # One metadata key: several are written in no fixed order.
    metadata = {"ood_bench": canonical_json({"schema": SCHEMA, "label_space": label_space, "sha256": digest})}
    write_atomically(path, lambda temporary: save_tensors(temporary, tensors, metadata))
    return digest


def has_head(folder: Path) -> bool:
    return (folder / FILE).is_file()


def read_head(folder: Path) -> Head:
    """The head in `folder`, checked against the hash it carries."""
    path = folder / FILE
    if not has_head(folder):
        raise RequestError(f"no head is stored at {path}; import the last layer as head.npz with W (K, d) and b (K,)")
    try:
        with safe_open(path, framework="pt") as file:
            stated = json.loads(file.metadata()["ood_bench"])
            head = Head(file.get_tensor("weight"), file.get_tensor("bias"))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"the head at {path} cannot be read ({error}); import it again with --replace") from error
    if stated["schema"] > SCHEMA:
        raise RequestError(
            f"the head at {path} has schema {stated['schema']}, and this ood-bench reads up to {SCHEMA}; upgrade it"
        )
    if head_sha256(head) != stated["sha256"]:
        raise IntegrityError(f"the head at {path} is not the one that was written; import it again with --replace")
    return head


def head_error(head: Head, features: Float[Tensor, "n d"], logits: Float[Tensor, "n K"]) -> HeadFit:
    """Largest |features @ W.T + b - logits| and largest |logit|, in float64."""
    error = scale = 0.0
    for start in range(0, len(features), _CHUNK):
        given = logits[start : start + _CHUNK].double()
        derived = head.double.logits(features[start : start + _CHUNK].double())
        error = max(error, float((derived - given).abs().max()))
        scale = max(scale, float(given.abs().max()))
    return error, scale


def judge_head(bank: str, head: Head | None, rows: Mapping[str, Tensor]) -> HeadFit | None:
    """`head_error` of the rows; None where there is nothing to compare. Logits must exist in the features' dtype."""
    if head is None or "features" not in rows:
        return None
    if "logits" in rows:
        return head_error(head, rows["features"], rows["logits"])
    logits = derive_logits(head, rows["features"])
    if not bool(torch.isfinite(logits).all()):
        raise RequestError(
            f"{bank}: logits derived from features and head overflow {dtype_name(logits.dtype)}; use float32 features"
        )
    return None


def worse(first: HeadFit | None, second: HeadFit | None) -> HeadFit | None:
    """The fit over the rows of both."""
    if first is None or second is None:
        return first or second
    return max(first[0], second[0]), max(first[1], second[1])


def why_refused(fit: HeadFit | None) -> str | None:
    """The reason not to use a head of this fit, or None where it reproduces the logits."""
    if fit is None or fit[0] <= GROSS_ERROR * fit[1]:
        return None
    error, scale = fit
    return (
        f"the head does not reproduce the logits: features @ W.T + b is off by up to {error:.3g} "
        f"where the largest logit is {scale:.3g}"
    )


def derive_logits(head: Head, features: Float[Tensor, "n d"]) -> Float[Tensor, "n K"]:
    """Logits computed in float64 and rounded to the dtype of `features`."""
    parts = torch.split(features, _CHUNK)
    return torch.cat([head.double.logits(part.double()).to(features.dtype) for part in parts])


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file; what the library calls an I/O error becomes an OSError like any other."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone()
