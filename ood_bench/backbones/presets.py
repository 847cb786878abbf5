"""Backbones as data: architecture, weights, transform and what accuracy to expect. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from ood_bench.backbones.transform import INTERPOLATIONS, RESIZES, Interpolation, Resize, Transform
from ood_bench.toml_tables import Table, read_toml

FILE = Path(__file__).with_name("presets.toml")
SCHEMA = 1
LOADERS = ("timm", "torchvision", "open_clip", "openood", "mnist-oe")

_TEXTS = (
    *("pretrained", "url", "file", "by_hand", "licence", "label_space"),
    *("accuracy", "accuracy_on", "accuracy_source", "prompt"),
)
_KEYS = ("title", "loader", "architecture", "sha256", "classes", "transform", "probe", "seeds", *_TEXTS)
_TRANSFORM_KEYS = ("resize", "resize_to", "crop", "mean", "std", "interpolation", "channels")


@dataclass(frozen=True, slots=True)
class Preset:
    """One backbone by a short name. `pretrained` is the loader's own name of the weights; `url` and `file` are used
    where the loader knows none. `{seed}` in `file` stands for the checkpoint's number."""

    name: str
    title: str
    loader: str
    architecture: str
    transform: Transform
    pretrained: str = ""
    url: str = ""
    file: str = ""
    sha256: str | None = None
    by_hand: str = ""
    licence: str = ""
    label_space: str = ""
    classes: int | None = None
    accuracy: str = ""  # percent of `accuracy_on`, digits as printed
    accuracy_on: str = ""
    accuracy_source: str = ""
    prompt: str = ""  # zero-shot: the sentence around a class name
    probe: bool = False  # no head of its own: a linear one is fitted on the fit bank
    seeds: int | None = None  # how many checkpoints were published

    @property
    def where(self) -> str:
        """Where the weights come from, in words."""
        if self.url:
            return self.url
        if self.pretrained:
            return f"{self.loader}: {self.architecture} / {self.pretrained}"
        return self.by_hand


@cache
def presets() -> dict[str, Preset]:
    """All presets by name, in the order of the file."""
    top = read_toml(FILE, ("models",), "backbone presets", SCHEMA)
    models = top.table("models", None)
    return {name: _preset(name, models.table(name, _KEYS)) for name in models.names()}


def _preset(name: str, table: Table) -> Preset:
    return Preset(
        name=name,
        title=table.text("title"),
        loader=table.one_of("loader", LOADERS),
        architecture=table.text("architecture"),
        transform=_transform(table.table("transform", _TRANSFORM_KEYS)),
        sha256=table.optional_text("sha256"),
        classes=table.count("classes", minimum=2),
        probe=table.text("probe", "no") == "yes",
        seeds=table.count("seeds", minimum=1),
        **{key: table.text(key, "") for key in _TEXTS},
    )


def _transform(table: Table) -> Transform:
    channels = table.count("channels", minimum=1) or 3
    return Transform(
        resize=cast(Resize, table.one_of("resize", RESIZES)),
        resize_to=table.count("resize_to") or 0,
        crop=table.count("crop") or 0,
        mean=_numbers(table, "mean"),
        std=_numbers(table, "std"),
        interpolation=cast(Interpolation, table.one_of("interpolation", INTERPOLATIONS, "bilinear")),
        channels=1 if channels == 1 else 3,
    )


def _numbers(table: Table, key: str) -> tuple[float, ...]:
    value = table.values.get(key)
    if not isinstance(value, list) or not all(isinstance(one, int | float) for one in value):
        raise table.wrong(key, "a list of numbers, one for each channel", value)
    return tuple(float(one) for one in value)
