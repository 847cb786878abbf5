"""Global and local maximum concept matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.scorers.neglabel import BLOCK, unit_rows
from ood_bench.types import FEATURES, LOCAL_FEATURES, TEXT_FEATURES


@scorer(
    "gl-mcm",
    paper="Miyai et al., IJCV 2025 (GL-MCM), arXiv:2304.04521",
    needs=(FEATURES, TEXT_FEATURES, LOCAL_FEATURES),
    family="vision-language",
)
@dataclass(frozen=True)
class GLMCM:
    """Largest softmax probability of the image's cosines, plus lam times the largest over its patches; in (0, 1 + lam].

    Cosines with the class prompts over T = 1; each patch has a softmax over the classes of its own. lam = 1 is the
    authors' default (their ImageNet script says 0.5).
    """

    lam: Annotated[float, Range(0)] = 1.0
    temperature: Annotated[float, Range(0, above=True)] = 1.0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        prompts = unit_rows(batch.constant("text_features")).to(batch.features)
        patches = batch.extra("local_features")
        block = max(1, BLOCK // (patches.shape[1] * len(prompts)))
        local = [self._confidence(unit_rows(rows), prompts).amax(dim=1) for rows in patches.split(block)]
        return self._confidence(batch.unit_features, prompts) + self.lam * torch.cat(local)

    def _confidence(self, rows: Float[Tensor, "*n d"], prompts: Float[Tensor, "K d"]) -> Float[Tensor, "*n"]:
        scaled = rows @ prompts.T / self.temperature
        return (scaled.amax(dim=-1) - scaled.logsumexp(dim=-1)).exp()
