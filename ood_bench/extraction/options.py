"""What an extraction may be told, and what of it decides the bytes of a bank."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import metadata
from typing import Literal

import torch

from ood_bench.backbones.backbone import Backbone
from ood_bench.bank.content import StorageName
from ood_bench.canonical import sha256_of
from ood_bench.errors import RequestError
from ood_bench.extraction.forward import How, Precision
from ood_bench.extraction.listing import ImageList
from ood_bench.extraction.units import Units
from ood_bench.stream import choose_device

OnBad = Literal["fail", "skip"]
_DECISIVE_PACKAGES = ("torch", "torchvision", "pillow", "timm", "open_clip_torch")


@dataclass(frozen=True, slots=True)
class Options:
    """`devices`: one process for each where there are several. `on_bad`: what to do with an image that cannot be read."""

    devices: tuple[str, ...] = ("auto",)
    batch: int = 64
    workers: int = 4
    precision: Precision = "fp32"
    channels_last: bool | None = None
    dtype: StorageName = "fp32"
    rows_per_shard: int = 65536
    on_bad: OnBad = "fail"
    keep_logits: bool = True
    replace: bool = False
    hows: tuple[How, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("batch", "rows_per_shard"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} should be at least 1, got {getattr(self, name)}")
        if self.workers < 0:
            raise RequestError(f"workers should be 0 or more, got {self.workers}")
        devices = [torch.device(one) if ":" in one else choose_device(one) for one in self.devices]
        if self.devices == ("auto",) and devices[0].type == "cuda":
            devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
        object.__setattr__(self, "hows", tuple(How(one, self.precision, self.channels_last) for one in devices))

    def units(self, images: ImageList) -> Units:
        return Units(images.n, self.rows_per_shard, self.batch)

    def preprocessing(self, backbone: Backbone) -> str:
        """What the bank's identity says: mixed precision moves features by more than rounding."""
        if self.precision == "fp32":
            return backbone.preprocessing
        return f"{backbone.preprocessing}; mixed precision {self.precision}"

    def source(self, backbone: Backbone, images: ImageList) -> str:
        """Hash of everything that decides the rows of a bank: what a cut-off bank must share to be gone on with."""
        versions = {}
        for package in _DECISIVE_PACKAGES:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = ""
        how = self.hows[0]
        return sha256_of(
            {
                "weights": backbone.weights_sha256,
                "list": images.sha256,
                "batch": self.batch,
                "device": how.device.type,
                "layout": str(how.layout),
                "precision": self.precision,
                "threads": torch.get_num_threads(),
                "on_bad": self.on_bad,
                "versions": versions,
            }
        )
