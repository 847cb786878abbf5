"""What every bank is checked for before it exists, in memory and on disk alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ood_bench.bank.base import INTEGER_TENSORS, ROW_TENSORS, KindOfLabels
from ood_bench.bank.content import dtype_name
from ood_bench.errors import RequestError
from ood_bench.naming import unknown
from ood_bench.types import Head

_AXES = {
    "features": ("n", "d"),
    "logits": ("n", "K"),
    "members": ("n", "members", "K"),
    "local_features": ("n", "patches", "d"),
    "labels": ("n",),
    "source_labels": ("n",),
}
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_CHUNK_ELEMENTS = 1 << 22  # elements looked at together, so that checking needs little memory of its own


def accept_rows(
    bank: str,
    ids: Sequence[str],
    given: Mapping[str, Tensor | np.ndarray | None],
    *,
    kind: KindOfLabels,
    head: Head | None,
    dtype: torch.dtype | None = None,
    first_row: int = 0,
) -> dict[str, Tensor]:
    """The rows as tensors with int64 labels, or the error that says what is wrong with which row.

    `bank` names the bank in errors; `dtype` is the storage that floats must survive; a row is named by its place in
    the list, so `first_row` is where these rows start. Where `members` come without logits, the logits are the mean over
    the members (in float64, rounded to their dtype), unless features and head give them.
    """
    tensors = {name: _tensor(array) for name, array in given.items() if array is not None}
    for name in tensors.keys() - set(ROW_TENSORS):
        raise unknown(f"tensor of a bank ({bank})", name, ROW_TENSORS)
    if not tensors.keys() & {"features", "logits", "members"}:
        raise RequestError(
            f"{bank}: a bank needs `features` (n, d), `logits` (n, K) or `members` (n, M, K); got {sorted(tensors)}"
        )
    _check_ids(bank, ids, first_row)
    for name, tensor in tensors.items():
        _check_shape(bank, name, tensor, len(ids))
    n_classes = _check_widths(bank, tensors, head)
    _settle_labels(bank, tensors, kind, len(ids))
    if kind == "id":
        _check_labels(bank, tensors["labels"], ids, n_classes, first_row)
    for name in tensors.keys() - INTEGER_TENSORS:
        _check_finite(bank, name, tensors[name], ids, dtype, first_row)
    if "logits" not in tensors and "members" in tensors and (head is None or "features" not in tensors):
        tensors["logits"] = _mean_of(tensors["members"])
    return tensors


def check_abstain(bank: str, abstain_index: int | None, n_classes: int | None) -> None:
    """Refuse an abstain column that is no column of the logits."""
    if abstain_index is not None and not 0 <= abstain_index < (n_classes or 0):
        raise RequestError(
            f"{bank}: abstain_index should be a column of the logits, 0..{(n_classes or 0) - 1}, got {abstain_index}"
        )


def check_constant(
    bank: str, name: str, given: Tensor | np.ndarray, known: Sequence[str], dtype: torch.dtype | None = None
) -> Tensor:
    """A finite floating-point tensor that belongs to the bank as a whole, in storage dtype."""
    if name not in known:
        raise unknown(f"constant of a bank ({bank})", name, known)
    tensor = _tensor(given)
    if tensor.dtype not in _FLOATS or not tensor.ndim or not bool(torch.isfinite(tensor).all()):
        raise RequestError(f"{bank}: `{name}` should be an array of finite floating-point numbers; export it again")
    stored = tensor if dtype is None else tensor.to(dtype, copy=True).contiguous()
    if not bool(torch.isfinite(stored).all()):
        raise RequestError(
            f"{bank}: `{name}` holds values that {dtype_name(stored.dtype)} cannot store; store it as fp32"
        )
    return stored


def row_name(row: int, identifier: str) -> str:
    return f"row {row} (id {identifier!r})"


def _tensor(array: Tensor | np.ndarray) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach().cpu()
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    try:
        return torch.from_numpy(np.require(native, requirements=["C", "W"]))
    except TypeError as error:
        raise RequestError(f"a bank's tensors should be numbers, got an array of dtype {array.dtype}") from error


def _check_ids(bank: str, ids: Sequence[str], first_row: int) -> None:
    for row, identifier in enumerate(ids, first_row):
        if "\n" in identifier or "\r" in identifier or not _encodable(identifier):
            raise RequestError(
                f"{bank}: an id is one line of UTF-8 text, got {identifier!r} at row {row}; give that row another id"
            )


def _mean_of(members: Tensor) -> Tensor:
    """The mean over the members, a few rows at a time so that float64 takes little memory."""
    step = max(1, _CHUNK_ELEMENTS // members[:1].numel())
    return torch.cat([part.double().mean(dim=1).to(members.dtype) for part in members.split(step)])


def _encodable(identifier: str) -> bool:
    try:
        identifier.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_shape(bank: str, name: str, tensor: Tensor, n: int) -> None:
    axes = _AXES[name]
    if tensor.ndim != len(axes) or 0 in tensor.shape[1:]:
        wanted = f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"
        raise RequestError(f"{bank}: `{name}` should have shape {wanted}, got {tuple(tensor.shape)}; reshape it")
    if len(tensor) != n:
        raise RequestError(
            f"{bank}: `{name}` has {len(tensor)} rows where there are {n} ids; both must have one per row"
        )
    if name in INTEGER_TENSORS:
        if tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex():
            kind = dtype_name(tensor.dtype)
            raise RequestError(f"{bank}: `{name}` should be integers, got {kind}; convert them to int64 class numbers")
    elif tensor.dtype not in _FLOATS:
        raise RequestError(
            f"{bank}: `{name}` should be floating point, got {dtype_name(tensor.dtype)}; convert it to float32"
        )


def _check_widths(bank: str, tensors: Mapping[str, Tensor], head: Head | None) -> int | None:
    """K, after features, logits, members and head have been found to agree."""
    logits, features, members = (tensors.get(name) for name in ("logits", "features", "members"))
    if head is not None and features is not None and features.shape[1] != head.n_features:
        raise RequestError(
            f"{bank}: the features have d = {features.shape[1]} columns and the head expects d = {head.n_features}; "
            "give the head of this very layer"
        )
    n_classes = head.n_classes if head is not None else None
    if logits is not None:
        if n_classes is not None and logits.shape[1] != n_classes:
            raise RequestError(
                f"{bank}: the logits have K = {logits.shape[1]} columns and the head has K = {n_classes} classes; "
                "give the head that made these logits"
            )
        n_classes = logits.shape[1]
    if members is not None and n_classes is not None and members.shape[2] != n_classes:
        raise RequestError(
            f"{bank}: `members` has K = {members.shape[2]} columns and the logits have K = {n_classes}; "
            "export both for the same classes"
        )
    return members.shape[2] if n_classes is None and members is not None else n_classes


def _settle_labels(bank: str, tensors: dict[str, Tensor], kind: KindOfLabels, n: int) -> None:
    """Labels as int64 and always there. What an OOD set calls its classes is kept apart as `source_labels`."""
    if kind == "ood" and "labels" in tensors:
        if "source_labels" in tensors:
            raise RequestError(f"{bank}: an OOD set takes `labels` or `source_labels`, and both came; give one of them")
        tensors["source_labels"] = tensors.pop("labels")
    for name in INTEGER_TENSORS & tensors.keys():
        tensors[name] = tensors[name].to(torch.int64)
    tensors.setdefault("labels", torch.full((n,), -1, dtype=torch.int64))


def _check_labels(bank: str, labels: Tensor, ids: Sequence[str], n_classes: int | None, first_row: int) -> None:
    if bool((labels == -1).all()):
        return
    bad = labels < 0
    if n_classes is not None:
        bad |= labels >= n_classes
    if not bool(bad.any()):
        return
    at = int(bad.nonzero()[0])
    wanted = "at least 0" if n_classes is None else f"in 0..{n_classes - 1}"
    raise RequestError(
        f"{bank}: the labels of an ID set should be {wanted} (or -1 for every row: none), got {int(labels[at])} at "
        f"{row_name(first_row + at, ids[at])}; correct the labels, or give the set to --near or --far if it is OOD"
    )


def _check_finite(
    bank: str, name: str, tensor: Tensor, ids: Sequence[str], dtype: torch.dtype | None, first_row: int
) -> None:
    step = max(1, _CHUNK_ELEMENTS // max(1, tensor[:1].numel()))
    for start in range(0, len(tensor), step):
        part = tensor[start : start + step].flatten(1)
        stored = part if dtype is None else part.to(dtype)
        finite = torch.isfinite(stored).all(dim=1)
        if bool(finite.all()):
            continue
        at = int((~finite).nonzero()[0])
        row = row_name(first_row + start + at, ids[start + at])
        if bool(torch.isfinite(part[at]).all()) and dtype is not None:
            raise RequestError(
                f"{bank}: `{name}` holds {float(part[at].abs().max()):.6g} at {row}, more than {dtype_name(dtype)} can "
                f"store ({torch.finfo(dtype).max:.6g}); store this bank as fp32"
            )
        what = "NaN" if bool(torch.isnan(part[at]).any()) else "an infinite value"
        raise RequestError(f"{bank}: `{name}` should be finite, but holds {what} at {row}; export that row again")
