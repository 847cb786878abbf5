"""Backbones by family: which scorer suits transformers, which residual networks, and so on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ood_bench.store.row import FLOATS, METRICS, Row

# The first that is found in a model's name decides, so that narrower words stand before wider ones.
_FAMILIES = (
    ("clip", "CLIP"),
    ("siglip", "SigLIP"),
    ("dinov", "DINO"),
    ("dino", "DINO"),
    ("convnext", "ConvNeXt"),
    ("efficientnet", "EfficientNet"),
    ("mobilenet", "MobileNet"),
    ("regnet", "RegNet"),
    ("densenet", "DenseNet"),
    ("squeezenet", "SqueezeNet"),
    ("mixer", "MLP-Mixer"),
    ("swin", "Swin"),
    ("deit", "DeiT"),
    ("beit", "BEiT"),
    ("cait", "CaiT"),
    ("xcit", "XCiT"),
    ("volo", "VOLO"),
    ("repvgg", "RepVGG"),
    ("vgg", "VGG"),
    ("vit", "ViT"),
    ("bit", "BiT"),
    ("t2t", "T2T-ViT"),
    ("wrn", "WideResNet"),
    ("wide_resnet", "WideResNet"),
    ("wide-resnet", "WideResNet"),
    ("resnext", "ResNeXt"),
    ("resnet", "ResNet"),
    ("inception", "Inception"),
    ("alexnet", "AlexNet"),
    ("lenet", "LeNet"),
    ("cnn", "small CNN"),
    ("convnet", "small CNN"),
)


def family_of(model: str) -> str:
    """The architecture family that a model's name says; its own name where it says none."""
    name = model.lower()
    # a word begins at the start, after a sign or after a digit: "habit" is no BiT
    return next((family for word, family in _FAMILIES if re.search(rf"(?:^|[^a-z]){re.escape(word)}", name)), model)


def by_family(rows: Iterable[Row]) -> list[Row]:
    """Rows as means over the backbones of each family, with the family in the place of the model.

    A mean is over those backbones of the family that the suite has rows of; where one has no number there is no mean,
    and the row says which. Checkpoints' and scorers' seeds should be aggregated before.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = (row.suite, row.protocol, family_of(row.model), row.scorer, row.params, row.profile, row.tuned_on)
        groups.setdefault((*key, row.set, row.group, row.origin), []).append(row)
    return [_mean(members, family_of(members[0].model)) for members in groups.values()]


def _mean(members: list[Row], family: str) -> Row:
    models = list(dict.fromkeys(row.model for row in members))
    empty: dict[str, Any] = dict.fromkeys((*FLOATS, "n_id", "n_ood", "inputs_sha256", "scores_sha256", "seed"))
    common = replace(members[0], **empty, model=family, model_seed=None, sources=(), intervals=())
    missing = list(dict.fromkeys(row.model for row in members if row.status != "ok"))
    if missing:
        reason = (
            f"the mean over {len(models)} backbones needs every one, but there is no number for {', '.join(missing)}"
        )
        return replace(common, status="skipped", reason=reason)
    means: dict[str, Any] = {
        metric: math.fsum(getattr(row, metric) for row in members) / len(members) for metric in METRICS
    }
    noted = f"mean over {len(models)} backbones: {', '.join(models)}" if len(models) > 1 else f"{models[0]} alone"
    return replace(common, **means, n_seeds=len(members), status="ok", reason=noted)
