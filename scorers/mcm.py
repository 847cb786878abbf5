"""Maximum concept matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.scorers.tempscale import log_confidence_at


@scorer("mcm", paper="Ming et al., NeurIPS 2022, arXiv:2211.13445", family="vision-language", precision="float64")
@dataclass(frozen=True)
class MCM:
    """Log of the largest entry of softmax(z / T), T = 1, where z are cosines of image and class prompts; in (-log K, 0].

    The logits of a vision-language bank are the raw cosines, without CLIP's factor of about 100 (OpenOOD's logits carry
    it: `mcm:temperature=100` there). At T = 1 cosines make an almost uniform softmax, hence float64. On the logits of a
    classifier this is `msp`.
    """

    temperature: Annotated[float, Range(0, above=True)] = 1.0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        return log_confidence_at(batch, self.temperature)
