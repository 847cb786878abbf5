"""NegLabel: class prompts against many negative prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from ood_bench.batch import Batch
from ood_bench.parameters import Range
from ood_bench.registry import scorer
from ood_bench.types import FEATURES, NEGATIVE_TEXT, TEXT_FEATURES

BLOCK = 1 << 24  # similarities held at once


def unit_rows(rows: Float[Tensor, "*m d"]) -> Float[Tensor, "*m d"]:
    """Rows divided by their length; a zero row stays zero."""
    length: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / length.clamp_min(torch.finfo(rows.dtype).tiny)


@scorer(
    "neglabel",
    paper="Jiang et al., ICLR 2024 (NegLabel), arXiv:2403.20078",
    needs=(FEATURES, TEXT_FEATURES, NEGATIVE_TEXT),
    family="vision-language",
)
@dataclass(frozen=True)
class NegLabel:
    """log S - log (1 - S), S = mean over groups of the softmax mass on the class prompts; ranks as S, which saturates.

    In a group stand all class prompts and its share of the negative prompts, as cosines with the image divided by
    T = 0.01. 100 groups of equal size, drawn by a seeded permutation after the last (count mod groups) negatives are
    dropped, as in the authors' clip_ood.py; their permutation comes from the GPU's generator, so groups differ. With
    fewer negatives than groups each negative is a group. Which words are negatives (their selection from WordNet) is
    settled when the bank is made.
    """

    temperature: Annotated[float, Range(0, above=True)] = 0.01
    groups: Annotated[int, Range(1)] = 100
    seed: int = 0

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        classes = unit_rows(batch.constant("text_features")).to(batch.features)
        negatives = unit_rows(batch.constant("negative_text_features")).to(batch.features)
        groups = min(self.groups, len(negatives))
        used = len(negatives) - len(negatives) % groups
        order = torch.randperm(used, generator=torch.Generator().manual_seed(self.seed))
        prompts = torch.cat([classes, negatives[order.to(negatives.device)]])
        block = max(1, BLOCK // len(prompts))
        blocks = batch.unit_features.split(block)
        return torch.cat([self._log_odds(rows @ prompts.T, len(classes), groups) for rows in blocks])

    def _log_odds(self, cosine: Float[Tensor, "n p"], n_classes: int, groups: int) -> Float[Tensor, " n"]:
        scaled = cosine / self.temperature
        positive = scaled[:, :n_classes].logsumexp(dim=1, keepdim=True)
        negative = scaled[:, n_classes:].unflatten(1, (groups, -1)).logsumexp(dim=2)
        lead = positive - negative  # of each group: its mass on the class prompts is sigmoid(lead)
        return logsigmoid(lead).logsumexp(dim=1) - logsigmoid(-lead).logsumexp(dim=1)
