"""One set of images becomes one bank: unit after unit, going on where it was cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ood_bench.backbones.backbone import Backbone
from ood_bench.backbones.head import Cut
from ood_bench.bank.base import KindOfLabels
from ood_bench.bank.manifest import Identity, Manifest, has_manifest, read_manifest
from ood_bench.bank.writer import BankWriter
from ood_bench.errors import RequestError
from ood_bench.extraction.decoding import decoded
from ood_bench.extraction.forward import How, Runner, repeatable
from ood_bench.extraction.listing import ImageList
from ood_bench.extraction.options import Options
from ood_bench.extraction.units import Units
from ood_bench.files import write_bytes
from ood_bench.home import Home

SKIPPED = "skipped.txt"  # in the bank's folder: the images that could not be read


@dataclass(frozen=True, eq=False)
class Ready:
    """A backbone that has been looked at."""

    backbone: Backbone
    cut: Cut | None  # None: it makes features only
    label_space: str

    def identity(self, images: ImageList, options: Options) -> Identity:
        """What the bank of these images is about."""
        return Identity(
            model=self.backbone.name,
            model_seed=self.backbone.seed,
            set=images.name,
            list_sha256=images.sha256,
            ids_kind="source",
            label_space=self.label_space,
            weights_sha256=self.backbone.weights_sha256,
            preprocessing=options.preprocessing(self.backbone),
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of some positions of the list, without labels; `end` is the position after the last image looked at."""

    positions: tuple[int, ...]
    tensors: Mapping[str, Tensor]
    bad: tuple[tuple[int, str], ...]
    end: int


@dataclass(frozen=True, eq=False)
class Made:
    """A bank, whether it was there already, and the images that could not be read, with the reason where it is known."""

    manifest: Manifest
    already: bool
    skipped: Mapping[str, str]


Progress: TypeAlias = Callable[[str, int, int], None]
Compute: TypeAlias = Callable[[Units, int], Iterator[Batch]]  # the rows of all units from one on, in order


def existing_bank(home: Home, ready: Ready, images: ImageList, options: Options) -> Manifest | None:
    """The finished bank of this very identity, which need not be made again; another one in its place is an error."""
    identity = ready.identity(images, options)
    folder = identity.folder(home)
    if options.replace or not has_manifest(folder):
        return None
    manifest = read_manifest(folder)
    if manifest.identity == identity:
        return manifest
    names = ("weights_sha256", "preprocessing", "list_sha256")
    differing = [name for name in names if getattr(manifest.identity, name) != getattr(identity, name)]
    raise RequestError(
        f"{identity} is already in {folder}, made with another {' and '.join(differing)}; pass --replace to put the new "
        "one in its place"
    )


def make_bank(
    home: Home,
    ready: Ready,
    images: ImageList,
    kind: KindOfLabels,
    options: Options,
    compute: Compute,
    progress: Progress,
) -> Made:
    """The bank of one set, written from its last whole shard on, or found. Raises RequestError."""
    manifest = existing_bank(home, ready, images, options)
    if manifest is not None:
        return Made(manifest, True, {})
    writer = _writer(home, ready, images, kind, options)
    last = images.position[writer.ids[-1]] if writer.ids else -1
    units = options.units(images)
    bad: dict[str, str] = {}
    for batch in compute(units, units.of(last + 1)):
        for position, reason in batch.bad:
            if options.on_bad == "fail":
                raise RequestError(
                    f"set {images.name!r}: the image {images.places[position]} cannot be read ({reason}); get it again, "
                    "or leave such images out with --on-bad skip"
                )
            bad[images.ids[position]] = reason
        _add(writer, images, batch, last)
        progress(images.name, batch.end, images.n)
    return Made(writer.finish(), False, _note_skipped(writer, images, bad))


def computed(
    ready: Ready, images: ImageList, options: Options, how: How, units: Units, which: range
) -> Iterator[Batch]:
    """The rows of some units, batch after batch, on one device."""
    batches = [batch for unit in which for batch in units.batches(unit)]
    if not batches:
        return
    with repeatable():
        runner = Runner(ready.backbone.module, how, ready.cut)
        pin = how.device.type == "cuda"
        stream = decoded(images.places, ready.backbone.transform, batches, workers=options.workers, pin=pin)
        for batch, given in zip(batches, stream, strict=True):
            tensors = runner(given.images) if given.images is not None else {}
            yield Batch(given.positions, tensors, given.bad, batch.stop)


def _writer(home: Home, ready: Ready, images: ImageList, kind: KindOfLabels, options: Options) -> BankWriter:
    return BankWriter(
        home,
        ready.identity(images, options),
        kind_of_labels=kind,
        # a head that is not linear is given too: the bank records how far it is off, and scorers are refused it
        head=None if ready.cut is None else ready.cut.head,
        dtype=options.dtype,
        rows_per_shard=options.rows_per_shard,
        n_expected=images.n if options.on_bad == "fail" else None,
        replace=options.replace,
        constants=ready.backbone.constants,
        keep_logits=options.keep_logits,
        source=options.source(ready.backbone, images),
    )


def _add(writer: BankWriter, images: ImageList, batch: Batch, last: int) -> None:
    """Give the writer those rows of a batch that it has not got."""
    rows = [row for row, position in enumerate(batch.positions) if position > last]
    if not rows:
        return
    positions = [batch.positions[row] for row in rows]
    tensors = {name: tensor[rows] for name, tensor in batch.tensors.items()}
    if images.labels is not None:
        tensors["labels"] = torch.tensor([images.labels[position] for position in positions])
    writer.add([images.ids[position] for position in positions], tensors)


def _note_skipped(writer: BankWriter, images: ImageList, reasons: Mapping[str, str]) -> dict[str, str]:
    """Every image that is in the list and not in the bank, written down beside the bank."""
    kept = set(writer.ids)
    skipped = {one: reasons.get(one, "found before an interruption") for one in images.ids if one not in kept}
    if skipped:
        lines = "".join(f"{identifier}\t{reason}\n" for identifier, reason in skipped.items())
        write_bytes(writer.folder / SKIPPED, lines.encode())
    return skipped
