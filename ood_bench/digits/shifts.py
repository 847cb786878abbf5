"""Covariate shifts of 8x8 images: the digit stays the same and is drawn, moved or lit otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from ood_bench.digits.draws import normal, uniform

WHITE = 16  # the levels are 0 (paper) to 16 (ink), as in the source
SIDE = 8

Images = UInt8[np.ndarray, "n 8 8"]
Shift = Callable[[Images, float], Images]


def to_levels(values: Float[np.ndarray, "n 8 8"]) -> Images:
    """Rounded to the 17 levels of the source, so that differences in the last bit of a library do not show."""
    return np.asarray(np.clip(np.rint(values), 0, WHITE), dtype=np.uint8)


def rotation(images: Images, degrees: float) -> Images:
    """Turned about the centre, half of the images to either side."""
    angle = np.radians(degrees) * np.where(uniform("rotation", len(images)) < 0.5, -1.0, 1.0)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    row, column = _grid()
    return _resample(images, cos * row + sin * column, cos * column - sin * row)


def translation(images: Images, pixels: float) -> Images:
    """Moved in a direction of its own for each image; what leaves the frame is lost."""
    direction = 2 * np.pi * uniform("translation", len(images), 1, 1)
    row, column = _grid()
    across = np.zeros((len(images), SIDE, SIDE))
    return _resample(images, across + row + pixels * np.sin(direction), across + column + pixels * np.cos(direction))


def gaussian_noise(images: Images, deviation: float) -> Images:
    """Independent normal noise on each pixel, of this standard deviation in levels."""
    return to_levels(images + deviation * normal("gaussian-noise", *images.shape))


def blur(images: Images, deviation: float) -> Images:
    """Smoothed by a Gaussian of this standard deviation in pixels."""
    return to_levels(ndimage.gaussian_filter(images.astype(np.float64), (0, deviation, deviation), mode="constant"))


def contrast(images: Images, share: float) -> Images:
    """This share of the distance of each pixel from the image's own mean."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    return to_levels(mean + share * (images - mean))


# family -> (how, its strength at severity 1, 2, ...)
FAMILIES: dict[str, tuple[Shift, tuple[float, ...]]] = {
    "rotation": (rotation, (8.0, 16.0, 24.0, 32.0, 40.0)),
    "translation": (translation, (0.5, 0.8, 1.2, 1.6, 2.0)),
    "gaussian-noise": (gaussian_noise, (1.5, 3.0, 4.5, 6.0, 8.0)),
    "blur": (blur, (0.5, 0.7, 0.9, 1.1, 1.3)),
    "contrast": (contrast, (0.7, 0.5, 0.4, 0.3, 0.22)),
}


def _grid() -> tuple[Float[np.ndarray, "8 1"], Float[np.ndarray, "1 8"]]:
    """Rows and columns counted from the centre."""
    steps = np.arange(SIDE) - (SIDE - 1) / 2
    return steps[:, None], steps[None, :]


def _resample(images: Images, row: Float[np.ndarray, "n 8 8"], column: Float[np.ndarray, "n 8 8"]) -> Images:
    """Each image read at these places by bilinear interpolation; paper outside the frame."""
    centre = (SIDE - 1) / 2
    index = np.broadcast_to(np.arange(len(images))[:, None, None], row.shape)
    places = np.stack([index, row + centre, column + centre])
    return to_levels(ndimage.map_coordinates(images.astype(np.float64), places, order=1, mode="grid-constant"))
