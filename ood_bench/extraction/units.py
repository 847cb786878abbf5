"""A list cut into units of images, and the units into batches: what makes a resumed bank bit-equal to a whole one.

A unit is as many images as a shard has rows. Batches never reach over the end of a unit, so the rows of a unit do not
depend on what was computed before it, in this process or another. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Units:
    """Units of `size` images over a list of `n`, computed in batches of `batch`."""

    n: int
    size: int
    batch: int

    @property
    def count(self) -> int:
        return -(-self.n // self.size)

    def images(self, unit: int) -> range:
        """The positions of one unit."""
        return range(unit * self.size, min(self.n, (unit + 1) * self.size))

    def batches(self, unit: int) -> list[range]:
        """The positions of each batch of one unit."""
        images = self.images(unit)
        return [images[start : start + self.batch] for start in range(0, len(images), self.batch)]

    def of(self, position: int) -> int:
        """The unit that an image is in."""
        return position // self.size
