"""Images become tensors in worker processes; what cannot be read comes back as a reason, not as a crash."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ood_bench.backbones.transform import Transform
from ood_bench.extraction.readers import open_image

Decoded: TypeAlias = "tuple[int, Tensor | None, str]"  # position in the list, image, what is wrong with it
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class DecodedBatch:
    """The images of some positions of a list; `bad` are those that could not be read, with the reason."""

    positions: tuple[int, ...]  # of the good ones
    images: Tensor | None
    bad: tuple[tuple[int, str], ...]


class Images(Dataset[Decoded]):
    """The images of a list under a transform."""

    def __init__(self, places: Sequence[str], transform: Transform) -> None:
        self.places, self.mode = places, _MODES[transform.channels]
        self.apply = compose(transform)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, position: int) -> Decoded:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with open_image(self.places[position]) as image:
                    return position, self.apply(image.convert(self.mode)), ""
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            return position, None, _reason(error)


def compose(transform: Transform) -> transforms.Compose:
    """The transform as torchvision's functions on a PIL image."""
    interpolation = transforms.InterpolationMode(transform.interpolation)
    steps: list[object] = []
    if transform.resize == "squash":
        steps.append(transforms.Resize((transform.resize_to, transform.resize_to), interpolation))
    elif transform.resize == "shorter":
        steps.append(transforms.Resize(transform.resize_to, interpolation))
    if transform.crop:
        steps.append(transforms.CenterCrop(transform.crop))
    steps += [transforms.ToTensor(), transforms.Normalize(transform.mean, transform.std)]
    return transforms.Compose(steps)


def decoded(
    places: Sequence[str], transform: Transform, batches: Sequence[range], *, workers: int, pin: bool
) -> Iterator[DecodedBatch]:
    """The batches in order; `batches` says which positions each takes."""
    loader: DataLoader[Decoded] = DataLoader(
        Images(places, transform),
        batch_sampler=[list(batch) for batch in batches],
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_one_thread if workers else None,
    )
    for positions, images, bad in loader:
        yield DecodedBatch(tuple(positions), images, tuple(bad))


def _collate(rows: list[Decoded]) -> tuple[list[int], Tensor | None, list[tuple[int, str]]]:
    good = [(position, image) for position, image, _ in rows if image is not None]
    bad = [(position, reason) for position, image, reason in rows if image is None]
    shapes = {tuple(image.shape) for _, image in good}
    if len(shapes) > 1:
        raise ValueError(f"images of one batch should have one size after the transform, got {sorted(shapes)}")
    stacked = torch.stack([image for _, image in good]) if good else None
    return [position for position, _ in good], stacked, bad


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if "cannot identify image file" in str(error):
        return "it is no image"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
