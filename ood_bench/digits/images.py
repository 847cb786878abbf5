"""The image sets of the suite `digits`: all of them made here, from what ships with scikit-learn and from noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from ood_bench.canonical import sha256_of_lines
from ood_bench.digits.draws import uniform
from ood_bench.digits.shifts import FAMILIES, SIDE, WHITE, Images, to_levels

ID_CLASSES = 8  # digits 0..7; 8 and 9 are held out
FIT_PER_CLASS, VAL_PER_CLASS = 50, 25  # the rest of each class, 99 to 108 images, is the test set
NOISE_IMAGES = 250  # in each generated set
PATCH = 32  # pixels of a photograph along each side of a patch, before it is reduced to 8x8


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in the order of their ids. Labels are the digits drawn; -1 where nothing is a digit."""

    ids: tuple[str, ...]
    images: Images
    labels: Int64[np.ndarray, " n"]

    @property
    def list_sha256(self) -> str:
        """Hash of the list of ids, one per line."""
        return sha256_of_lines(self.ids)


def image_sets() -> dict[str, ImageSet]:
    """Every set of the suite by name; the same on each call and each machine (photographs: as their JPEG decodes)."""
    sets = _digits()
    for photo in ("china", "flower"):
        sets[f"patches-{photo}"] = _patches(photo)
    for name, values in (("uniform-noise", _noise()), ("blobs", _blobs()), ("stripes", _stripes())):
        sets[name] = _unlabelled([f"{name}/{i:04d}" for i in range(len(values))], to_levels(values))
    test = sets["digits-test"]
    for family, (shift, strengths) in FAMILIES.items():
        for severity, strength in enumerate(strengths, 1):
            name = f"{family}-{severity}"
            ids = tuple(f"{identifier}/{name}" for identifier in test.ids)
            sets[name] = ImageSet(ids, shift(test.images, strength), test.labels)
    return sets


def _digits() -> dict[str, ImageSet]:
    """Classes 0..7 in three parts, drawn class by class, and the two classes held out; each in the source's order."""
    from sklearn.datasets import load_digits  # not at the top: it takes seconds, and only a new home needs it

    images, labels = load_digits(return_X_y=True)
    images, labels = to_levels(images.reshape(-1, SIDE, SIDE)), labels.astype(np.int64)
    order = np.argsort(uniform("split", len(labels)), kind="stable")
    parts: dict[str, list[np.ndarray]] = {"digits-fit": [], "digits-val": [], "digits-test": []}
    for digit in range(ID_CLASSES):
        cut = np.split(order[labels[order] == digit], [FIT_PER_CLASS, FIT_PER_CLASS + VAL_PER_CLASS])
        for part, rows in zip(parts.values(), cut, strict=True):
            part.append(rows)
    rows_of = {name: np.sort(np.concatenate(part)) for name, part in parts.items()}
    rows_of |= {name: np.flatnonzero(labels == digit) for name, digit in (("digits-eight", 8), ("digits-nine", 9))}
    return {
        name: ImageSet(tuple(f"digits/{row:04d}" for row in rows), images[rows], labels[rows])
        for name, rows in rows_of.items()
    }


def _patches(photo: str) -> ImageSet:
    """A photograph's patches of 32x32 pixels, side by side, each as 8x8 means of its grey levels."""
    from sklearn.datasets import load_sample_image  # as above

    grey = load_sample_image(f"{photo}.jpg").astype(np.float64) @ (0.299, 0.587, 0.114)  # ITU-R BT.601
    rows, columns = grey.shape[0] // PATCH, grey.shape[1] // PATCH
    step = PATCH // SIDE
    cells = grey[: rows * PATCH, : columns * PATCH].reshape(rows, SIDE, step, columns, SIDE, step).mean(axis=(2, 5))
    values = cells.transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE) * (WHITE / 255)
    ids = [f"{photo}/patch-{row:03d}-{column:03d}" for row in range(rows) for column in range(columns)]
    return _unlabelled(ids, to_levels(values))


def _noise() -> Float[np.ndarray, "n 8 8"]:
    """Pixels independent of each other, all 17 levels alike."""
    return np.asarray(np.floor(uniform("uniform-noise", NOISE_IMAGES, SIDE, SIDE) * (WHITE + 1)))


def _blobs() -> Float[np.ndarray, "n 8 8"]:
    """Four round spots per image, of random place, size and ink."""
    place = uniform("blob-places", NOISE_IMAGES, 4, 2, 1, 1) * (SIDE - 1)
    size = 0.5 + uniform("blob-sizes", NOISE_IMAGES, 4, 1, 1)
    ink = WHITE * (0.5 + 0.5 * uniform("blob-inks", NOISE_IMAGES, 4, 1, 1))
    steps = np.arange(SIDE)
    distance = (steps[:, None] - place[:, :, 0]) ** 2 + (steps[None, :] - place[:, :, 1]) ** 2
    return np.asarray((ink * np.exp(-distance / (2 * size**2))).max(axis=1))


def _stripes() -> Float[np.ndarray, "n 8 8"]:
    """Waves of random direction, phase and length (3 to 8 pixels), full contrast."""
    angle, phase = (2 * np.pi * uniform(f"stripe-{what}", NOISE_IMAGES, 1, 1) for what in ("angles", "phases"))
    length = 3 + 5 * uniform("stripe-lengths", NOISE_IMAGES, 1, 1)
    steps = np.arange(SIDE)
    along = steps[:, None] * np.sin(angle) + steps[None, :] * np.cos(angle)
    return np.asarray(WHITE * (0.5 + 0.5 * np.sin(2 * np.pi * along / length + phase)))


def _unlabelled(ids: list[str], images: Images) -> ImageSet:
    return ImageSet(tuple(ids), images, np.full(len(ids), -1, dtype=np.int64))
