"""The values that everything else speaks of: a head, what a bank can give, what is known before a fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

# Inputs that a scorer may need. The words stand in `needs`, in `list scorers` and in the reasons for a skipped cell.
LOGITS = "logits"
FEATURES = "features"
HEAD = "head"
FIT = "fit"  # a bank of the ID fit set
FIT_LABELS = "fit-labels"
VAL = "val"  # a bank of the ID validation set
VAL_LABELS = "val-labels"
TEXT_FEATURES = "text-features"
NEGATIVE_TEXT = "negative-text"
LOCAL_FEATURES = "local-features"
MEMBERS = "members"
ABSTAIN = "abstain"
SECOND = "second-checkpoint"  # of estimators that compare two

REMEDIES: dict[str, str] = {
    LOGITS: "store logits in the bank, or a head from which they follow (head.npz with W and b)",
    FEATURES: "store the penultimate features in the bank (array `features`)",
    HEAD: "give the last layer as head.npz with W (K, d) and b (K,)",
    FIT: "name the ID training set with --fit",
    FIT_LABELS: "give the ID fit set `labels` in 0..K-1",
    VAL: "name the ID validation set with --val, or take a share of fit with --val-from-fit 0.1",
    VAL_LABELS: "give the ID validation set `labels` in 0..K-1",
    TEXT_FEATURES: "store the class prompts' embeddings in the bank (array `text_features`)",
    NEGATIVE_TEXT: "store the negative prompts' embeddings in the bank (array `negative_text_features`)",
    LOCAL_FEATURES: "store the patch embeddings in the bank (array `local_features`)",
    MEMBERS: "store the logits of each member or stochastic pass in the bank (array `members`)",
    ABSTAIN: "name the abstain column in the bank (`abstain_index`)",
    SECOND: "run the suite first with another checkpoint (--model-seed) or model on the same sets",
}


WELL_CONDITIONED = 1e-8  # ratio of squared singular values from which normal equations keep eight digits


@dataclass(frozen=True, eq=False)
class Head:
    """The last linear layer for one label space: logits = features @ weight.T + bias."""

    weight: Float[Tensor, "K d"]
    bias: Float[Tensor, " K"]

    @property
    def n_classes(self) -> int:
        return self.weight.shape[0]

    @property
    def n_features(self) -> int:
        return self.weight.shape[1]

    @cached_property
    def double(self) -> Head:
        """The same head in float64; statistics and decompositions use this one."""
        return Head(self.weight.double(), self.bias.double())

    @cached_property
    def origin(self) -> Float[Tensor, " d"]:
        """ViM's origin -pinv(W) b, in float64: the point whose logits are zero (in least squares where K > d)."""
        weight, bias = self.weight.double(), self.bias.double()
        wide = self.n_classes < self.n_features
        values, vectors = torch.linalg.eigh(weight @ weight.T if wide else weight.T @ weight)
        if not bool(values[0] > WELL_CONDITIONED * values[-1]):  # its square would lose too many digits: by the SVD
            inverse: Tensor = torch.linalg.pinv(weight)
            return -inverse @ bias
        seen = vectors.T @ (bias if wide else weight.T @ bias)  # pinv(W) = W^T (W W^T)^-1, or (W^T W)^-1 W^T
        solved = vectors @ (seen / values)
        origin: Tensor = -weight.T @ solved if wide else -solved
        return origin

    def logits(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n K"]:
        """Logits in the precision of `features`."""
        return torch.addmm(self.bias.to(features), features, self.weight.to(features).T)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Head:
        """The same head on `device`, and in `dtype` where one is given."""
        return Head(self.weight.to(device, dtype), self.bias.to(device, dtype))


@dataclass(frozen=True, slots=True)
class Info:
    """What is known before any pass: shapes, counts, and which inputs exist. Parameters are resolved from this alone."""

    n_classes: int | None
    n_features: int | None
    n_fit: int | None = None
    n_val: int | None = None
    abstain_index: int | None = None
    has: frozenset[str] = field(default_factory=frozenset)

    @property
    def classes(self) -> int:
        """K, for scorers whose needs guarantee that it is known."""
        assert self.n_classes is not None
        return self.n_classes

    @property
    def dim(self) -> int:
        """d, for scorers whose needs guarantee that it is known."""
        assert self.n_features is not None
        return self.n_features
