"""What is done to an image before the network sees it, as a value: it belongs to a bank's identity. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bilinear", "bicubic", "nearest"]
Resize = Literal["squash", "shorter", "none"]

RESIZES: tuple[Resize, ...] = ("squash", "shorter", "none")
INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "bicubic", "nearest")


@dataclass(frozen=True, slots=True)
class Transform:
    """RGB image -> resize -> central crop -> [0, 1] -> normalised.

    `squash` resizes to `resize_to` x `resize_to` whatever the shape was; `shorter` makes the shorter side that long and
    keeps the shape; `none` takes the image as it is. `crop` is the side of the central square, 0 where none is cut out.
    """

    resize: Resize
    resize_to: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"
    channels: Literal[1, 3] = 3

    @property
    def size(self) -> int:
        """The side of the square that the network sees."""
        return self.crop or self.resize_to

    def __str__(self) -> str:
        """The words in a bank's manifest; equal transforms give equal words."""
        steps = {
            "squash": f"resize {self.resize_to}x{self.resize_to} {self.interpolation}",
            "shorter": f"resize shorter side {self.resize_to} {self.interpolation}",
            "none": "no resize",
        }[self.resize]
        crop = f", centre crop {self.crop}" if self.crop else ""
        colour = "RGB" if self.channels == 3 else "grey"
        numbers = ["/".join(f"{value:.8g}" for value in values) for values in (self.mean, self.std)]
        return f"{colour}, {steps}{crop}, mean {numbers[0]}, std {numbers[1]}"
