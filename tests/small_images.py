"""Small images on disk for tests of extraction: folders of classes, lists, and banks of them in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ood_bench.backbones.opening import Wish
from ood_bench.extraction.locate import Place
from ood_bench.extraction.options import Options
from ood_bench.extraction.planning import Wanted, own_suite
from ood_bench.extraction.suite import Extraction, Request, extract_suite
from ood_bench.home import Home

SETS = {"train": "train", "val": "val", "noise": "noise"}


def write_image(path: Path, seed: int, size: tuple[int, int] = (40, 36)) -> Path:
    """A picture of soft colours; .jpg and .png alike."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def image_folders(root: Path, *, classes: int = 4, fit: int = 6, test: int = 3, ood: int = 8) -> Path:
    """`train` and `val` with class folders, `noise` without."""
    seed = 0
    for folder, each in (("train", fit), ("val", test)):
        for label in range(classes):
            for row in range(each):
                ending = "jpg" if row % 2 else "png"
                write_image(root / folder / f"c{label:02d}" / f"image-{row:03d}.{ending}", seed, (40 + label, 36))
                seed += 1
    for row in range(ood):
        write_image(root / "noise" / f"{row:03d}.png", 1000 + row)
    return root


def make_banks(
    model: str,
    data_root: Path,
    home: Home,
    *,
    image_size: int | None = None,
    wish: Wish | None = None,
    name: str = "mine",
    only: tuple[str, ...] = (),
    **options: object,
) -> Extraction:
    """The banks of `train`, `val` and `noise`, as a suite of the user's own."""
    settings: dict[str, object] = {"devices": ("cpu",), "workers": 0, "batch": 5} | options
    suite = own_suite(name, name, SETS, {"fit": "train", "test": "val"}, {"far": ("noise",)}, ())
    request = Request(
        suite=suite,
        model=model,
        place=Place(data_root, home),
        wish=wish or Wish(image_size=image_size),
        wanted=Wanted(own=SETS, as_suite=name, only=only),
        options=Options(**settings),  # type: ignore[arg-type]  # the caller names fields of it
    )
    return extract_suite(request)
