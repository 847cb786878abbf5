"""What an extraction will cost: images, bytes and hours, from a few batches of noise on the device at hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ood_bench.backbones.backbone import RANDOM
from ood_bench.backbones.opening import Wish, open_backbone
from ood_bench.extraction.decoding import Images
from ood_bench.extraction.forward import Runner, cut_of, repeatable
from ood_bench.extraction.options import Options
from ood_bench.extraction.planning import Planned
from ood_bench.home import Home

_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}
_BATCHES, _DECODED = 2, 8
_LABEL_BYTES = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """`seconds` is the slower of network and decoding; the largest part of an extraction hides the other."""

    images: int
    bytes: int
    network_seconds: float
    decode_seconds: float

    @property
    def hours(self) -> float:
        return max(self.network_seconds, self.decode_seconds) / 3600


def estimate(model: str, home: Home, wish: Wish, planned: Sequence[Planned], options: Options) -> Estimate:
    """Measured with fresh weights, so that nothing is downloaded for it."""
    backbone = open_backbone(model if model.startswith((RANDOM, "script:")) else f"{RANDOM}{model}", home, wish)
    cut = cut_of(backbone)
    rows = min(options.batch, 16)
    with repeatable():
        runner = Runner(backbone.module, options.hows[0], cut)
        made = runner(backbone.example(rows))  # the first one is slower: memory is taken, kernels are chosen
        start = time.perf_counter()
        for _ in range(_BATCHES):
            runner(backbone.example(rows))
        per_image = (time.perf_counter() - start) / (_BATCHES * rows)
    values = sum(made[name].shape[1] for name in made if options.keep_logits or name != "logits")
    total = sum(one.images.n for one in planned)
    size = total * (values * _BYTES[options.dtype] + _LABEL_BYTES)
    places = [place for one in planned for place in list(one.images.places)[:1]][:_DECODED]
    images = Images(places, backbone.transform)
    start = time.perf_counter()
    for row in range(len(places)):
        _ = images[row]
    decode = (time.perf_counter() - start) / max(1, len(places)) / max(1, options.workers)
    return Estimate(total, size, total * per_image / len(options.hows), total * decode)
