"""`ood_bench.extract`: a network and a loader of the caller's own become a bank, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ood_bench.backbones.head import find_cut
from ood_bench.backbones.weights import weights_sha256
from ood_bench.bank.base import KindOfLabels
from ood_bench.bank.content import StorageName
from ood_bench.bank.heads import write_head
from ood_bench.bank.manifest import Identity
from ood_bench.bank.memory import MemoryBank
from ood_bench.bank.reader import DiskBank, open_bank
from ood_bench.bank.writer import BankWriter
from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.extraction.forward import How, Precision, Runner, repeatable
from ood_bench.home import find_home
from ood_bench.stream import choose_device


def extract(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    set: str,
    kind: KindOfLabels = "id",
    model_name: str = "model",
    label_space: str = "mine",
    preprocessing: str = "the caller's loader",
    device: str = "auto",
    precision: Precision = "fp32",
    home: str | Path | None = None,
    dtype: StorageName = "fp32",
    replace: bool = False,
) -> MemoryBank | DiskBank:
    """What `model` says of every image of `loader`: a bank of features, logits and labels, with the head beside it.

    The loader gives `images`, `(images, labels)` or `(images, labels, ids)`; without ids a row is called SET/0, SET/1, ...
    Features and head are found by hooks and checked against the logits; `bank.head` is None where the head is not linear.
    `kind` is "ood" for a set whose labels are not classes of the model. With `home` the bank is kept there, otherwise it
    is in memory. The model is put on the device and back, and into evaluation mode while it runs.
    """
    how = How(choose_device(device), precision)
    before, training = _device_of(model), model.training
    model.eval()
    try:
        return _extract(
            model, loader, set, kind, model_name, label_space, preprocessing, how, home, dtype, replace=replace
        )
    finally:
        model.train(training).to(before)


def _extract(
    model: nn.Module,
    loader: Iterable[Any],
    set_name: str,
    kind: KindOfLabels,
    model_name: str,
    label_space: str,
    preprocessing: str,
    how: How,
    home: str | Path | None,
    dtype: StorageName,
    *,
    replace: bool,
) -> MemoryBank | DiskBank:
    runner, head, ids = None, None, list[str]()
    parts: dict[str, list[Tensor]] = {}
    with repeatable():
        for given in loader:
            images, labels, names = _unpacked(given)
            if runner is None:
                model.to(how.device)
                cut = find_cut(model, images[:2].to(how.device))
                head, runner = cut.usable, Runner(model, how, cut)
            for name, tensor in runner(images).items():
                parts.setdefault(name, []).append(tensor)
            if labels is not None:
                parts.setdefault("labels", []).append(torch.as_tensor(labels).to("cpu", torch.int64))
            ids += names or [f"{set_name}/{row}" for row in range(len(ids), len(ids) + len(images))]
    if runner is None:
        raise RequestError(f"set {set_name!r}: the loader gave no images; look whether its data set is empty")
    tensors: dict[str, Any] = {name: torch.cat(pieces) for name, pieces in parts.items()}
    if home is None:
        return MemoryBank.of(set_name, model=model_name, kind_of_labels=kind, head=head, ids=ids, **tensors)
    identity = Identity(
        model_name, None, set_name, sha256_of_lines(ids), "source", label_space, weights_sha256(model), preprocessing
    )
    place = find_home(home)
    writer = BankWriter(
        place, identity, kind_of_labels=kind, head=head, dtype=dtype, n_expected=len(ids), replace=replace
    )
    done = writer.rows_done
    writer.add(ids[done:], {name: tensor[done:] for name, tensor in tensors.items()})
    writer.finish()
    if head is not None:
        write_head(place.head_folder(model_name, None, label_space), head, label_space, replace=replace)
    return open_bank(identity.folder(place), head)


def _unpacked(given: Any) -> tuple[Tensor, Any, list[str]]:
    if isinstance(given, Tensor):
        return given, None, []
    if isinstance(given, Sequence) and 1 <= len(given) <= 3 and isinstance(given[0], Tensor):
        labels = given[1] if len(given) > 1 else None
        return given[0], labels, [str(one) for one in given[2]] if len(given) > 2 else []
    raise RequestError(f"a loader gives images, (images, labels) or (images, labels, ids), got {type(given).__name__}")


def _device_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
