"""Scores of several members' (or stochastic passes') logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.batch import Batch
from ood_bench.errors import CannotScore
from ood_bench.registry import scorer
from ood_bench.types import MEMBERS


def log_members(batch: Batch) -> Float[Tensor, "n M K"]:
    """Each member's log probabilities."""
    return batch.once("member log probabilities", lambda: torch.log_softmax(batch.extra("members"), dim=2))


@scorer(
    "mutual-information",
    paper="Gal et al., ICML 2017, arXiv:1703.02910",
    needs=(MEMBERS,),
    family="ensemble",
    precision="float64",
)
@dataclass(frozen=True)
class MutualInformation:
    """-(H(mean p) - mean H(p)) over the members, in nats; in [-log M, 0].

    Written as minus the mean KL(p_m || mean p), so that two near-equal entropies are not subtracted.
    """

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        members = log_members(batch)
        _two_members("mutual-information", members)
        mean = members.logsumexp(dim=1, keepdim=True) - math.log(members.shape[1])
        return -(members.exp() * (members - mean)).sum(dim=2).mean(dim=1)


@scorer(
    "expected-entropy",
    paper="Kendall & Gal, NeurIPS 2017; Malinin & Gales, NeurIPS 2018, arXiv:1802.10501",
    needs=(MEMBERS,),
    family="ensemble",
    precision="float64",
)
@dataclass(frozen=True)
class ExpectedEntropy:
    """Minus the mean over the members of each one's entropy, in nats; in [-log K, 0]."""

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        members = log_members(batch)
        return (members.exp() * members).sum(dim=2).mean(dim=1)


@scorer(
    "ensemble-variance",
    paper="Lakshminarayanan et al., NeurIPS 2017, arXiv:1612.01474 (disagreement of members)",
    needs=(MEMBERS,),
    family="ensemble",
    precision="float64",
)
@dataclass(frozen=True)
class EnsembleVariance:
    """Minus the variance over the members of each class's probability (with M below), mean over classes; in [-1/K, 0]."""

    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        members = log_members(batch)
        _two_members("ensemble-variance", members)
        return -members.exp().var(dim=1, correction=0).mean(dim=1)


def _two_members(name: str, members: Float[Tensor, "n M K"]) -> None:
    if members.shape[1] < 2:
        raise CannotScore(f"{name} needs at least 2 members, got {members.shape[1]}; store each pass in `members`")
