"""A linear probe for a backbone without a head: multinomial logistic regression on the fit bank, streamed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ood_bench.bank.base import Bank
from ood_bench.errors import RequestError
from ood_bench.types import Head


@dataclass(frozen=True, slots=True)
class Probe:
    """`penalty` is on the squared weights of standardised features; the loss is the mean over rows."""

    penalty: float = 1e-4
    steps: int = 100
    rows: int = 16384  # through memory at a time

    def fit(self, bank: Bank) -> Head:
        """The head of the least regularised loss, by L-BFGS in float64; the features' scale is folded into it."""
        if not bank.has_labels or bank.n_features is None:
            raise RequestError(f"a linear probe is fitted on features with labels, and {bank.set} lacks them")
        mean, scale, n_classes = self._scale(bank)
        weight = torch.zeros(n_classes, bank.n_features, dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(n_classes, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS([weight, bias], max_iter=self.steps, history_size=20, line_search_fn="strong_wolfe")

        def loss() -> float:
            solver.zero_grad()
            total = 0.0
            for _, rows in bank.batches(self.rows, ("features", "labels")):
                logits = functional.linear((rows["features"].double() - mean) / scale, weight, bias)
                part = functional.cross_entropy(logits, rows["labels"], reduction="sum") / bank.n
                part.backward()
                total += float(part.detach())
            penalty = self.penalty * weight.square().sum()
            penalty.backward()
            return total + float(penalty.detach())

        solver.step(loss)
        folded = weight.detach() / scale
        return Head(folded.float(), (bias.detach() - folded @ mean).float())

    def _scale(self, bank: Bank) -> tuple[Tensor, Tensor, int]:
        total = square = torch.zeros(bank.n_features or 0, dtype=torch.float64)
        largest = 0
        for _, rows in bank.batches(self.rows, ("features", "labels")):
            features = rows["features"].double()
            total, square = total + features.sum(dim=0), square + features.square().sum(dim=0)
            largest = max(largest, int(rows["labels"].max()))
        mean = total / bank.n
        variance = (square / bank.n - mean.square()).clamp(min=0)
        # a feature that never moves says nothing: any scale will do
        scale = torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance))
        return mean, scale, largest + 1
