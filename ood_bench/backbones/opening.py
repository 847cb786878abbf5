"""From the name of a model to a backbone: presets, timm, torchvision, open_clip, the hub, programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ood_bench.backbones.backbone import RANDOM, Backbone, randomise, settle_norms
from ood_bench.backbones.presets import Preset, presets
from ood_bench.backbones.scripted import open_program
from ood_bench.backbones.small import make_small
from ood_bench.backbones.transform import Interpolation, Transform
from ood_bench.backbones.weights import check_file, load_into, weights_sha256
from ood_bench.backbones.zeroshot import ImageTower, ZeroShot, imagenet_names, prompts_in_words, text_features
from ood_bench.canonical import sha256_of_file
from ood_bench.errors import OodBenchError, RequestError
from ood_bench.fetch import fetch
from ood_bench.home import Home
from ood_bench.naming import unknown

SOURCES = {
    "timm": "timm:NAME.TAG",
    "torchvision": "torchvision:NAME or torchvision:NAME/WEIGHTS",
    "open_clip": "open_clip:NAME/PRETRAINED",
    "hf-hub": "hf-hub:ORGANISATION/NAME (a timm model on the hub)",
    "script": "script:FILE.pt or script:FILE.pt#HEAD",
}
PACKAGES = {"timm": "timm", "open_clip": "open_clip_torch"}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks for beside the name. `weights` is a file, or the folder that holds a preset's file."""

    seed: int | None = None
    weights: Path | None = None
    label_space: str = ""
    class_names: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    image_size: int | None = None


def open_backbone(name: str, home: Home, wish: Wish = Wish()) -> Backbone:
    """The backbone of that name, with its weights loaded and in evaluation mode. Raises RequestError."""
    fresh = name.startswith(RANDOM)
    bare = name.removeprefix(RANDOM)
    source, _, rest = bare.partition(":")
    preset = presets().get(bare)
    if preset is None and (source not in SOURCES or not rest):
        error = unknown("backbone", bare, presets())
        raise RequestError(f"{error}; or {', '.join(SOURCES.values())}")
    if preset is not None and preset.seeds and not fresh and wish.seed not in range(preset.seeds):
        raise RequestError(
            f"{bare} has checkpoints 0 to {preset.seeds - 1}; name one with --model-seed, got {wish.seed}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wish.seed or 0)
        loader = preset.loader if preset is not None else source
        opened = _LOADERS[loader](_Request(bare, rest, preset, fresh, wish, home))
    if fresh:
        randomise(opened.module, wish.seed or 0)
        settle_norms(opened.module, opened.example(4))
    opened.module.eval().requires_grad_(False)
    made = replace(opened, name=name, seed=wish.seed, preset=None if fresh else preset)
    return replace(made, weights_sha256=opened.weights_sha256 or weights_sha256(made.module))


@dataclass(frozen=True, slots=True)
class _Request:
    name: str
    rest: str
    preset: Preset | None
    fresh: bool
    wish: Wish
    home: Home

    @property
    def file(self) -> Path | None:
        """The file of weights to load; None where the loader gets its own."""
        preset, weights = self.preset, self.wish.weights
        if self.fresh:
            return None
        inside = "" if preset is None else preset.file.format(seed=self.wish.seed)
        if weights is not None:
            path = weights / inside if weights.is_dir() and inside else weights
            if not path.is_file():
                raise RequestError(f"the weights of {self.name} are expected at {path}, but there is no such file")
            check_file(path, None if preset is None else preset.sha256)
            return path
        if preset is None or not preset.file:
            return None
        if not preset.url:
            raise RequestError(f"the weights of {self.name} must be fetched by hand: {preset.by_hand}")
        return fetch(preset.url, self.home.root / "weights" / Path(inside).name, sha256=preset.sha256)

    def get(self, what: str, load: Any) -> Any:
        """The result of `load`, whatever goes wrong in another library being said in a sentence."""
        try:
            return load()
        except OodBenchError:
            raise
        except Exception as error:  # three libraries with their own errors, network included
            words = str(error).strip().splitlines()
            raise RequestError(
                f"{what} of {self.name} could not be had ({type(error).__name__}: {words[0] if words else ''}); check the "
                "name and the network, or get the weights by hand and pass them with --weights FILE"
            ) from error


def _timm(request: _Request) -> Backbone:
    timm = _library("timm")
    preset, file = request.preset, request.file
    tagged = request.rest
    if preset is not None:
        tagged = f"{preset.architecture}.{preset.pretrained}" if preset.pretrained else preset.architecture
    options: dict[str, Any] = {"num_classes": 0} if preset is not None and preset.probe else {}
    size = request.wish.image_size or (preset.transform.size if preset is not None else None)
    config = request.get(
        "the description", lambda: timm.models.get_pretrained_cfg(tagged) if ":" not in tagged else None
    )
    if size is not None and config is not None and config.fixed_input_size and config.input_size[1] != size:
        options["img_size"] = size
    pretrained = file is None and not request.fresh
    model = request.get("the weights", lambda: timm.create_model(tagged, pretrained=pretrained, **options))
    if file is not None:
        if file.suffix == ".npz":
            request.get("the weights", lambda: model.load_pretrained(str(file)))
        else:
            load_into(model, file)
    transform = preset.transform if preset is not None else _of_timm(timm.data.resolve_model_data_config(model))
    return _named(
        model, _sized(transform, request.wish.image_size), makes="features" if not model.num_classes else "logits"
    )


def _torchvision(request: _Request) -> Backbone:
    models = import_module("torchvision.models")
    preset, file = request.preset, request.file
    if preset is not None:
        architecture, weights = preset.architecture, models.get_weight(preset.pretrained)
    else:
        architecture, _, chosen = request.rest.partition("/")
        if architecture not in models.list_models(models):
            raise unknown("torchvision classifier", architecture, models.list_models(models))
        known = models.get_model_weights(architecture)
        if chosen and chosen not in known.__members__:
            raise unknown(f"weights of torchvision's {architecture}", chosen, known.__members__)
        weights = known[chosen] if chosen else known.DEFAULT
    if file is None and not request.fresh:
        digest = Path(weights.url).stem.rpartition("-")[2]
        file = fetch(weights.url, request.home.root / "weights" / Path(weights.url).name, sha256=digest)
    options: dict[str, Any] = {"init_weights": True} if architecture in ("googlenet", "inception_v3") else {}
    model = models.get_model(architecture, weights=None, **options)
    if file is not None:
        load_into(model, file)
    transform = preset.transform if preset is not None else _of_torchvision(weights.transforms())
    return _named(model, _sized(transform, request.wish.image_size))


def _open_clip(request: _Request) -> Backbone:
    open_clip = _library("open_clip")
    preset, file, wish = request.preset, request.file, request.wish
    architecture, _, tag = request.rest.partition("/")
    if preset is not None:
        architecture, tag = preset.architecture, preset.pretrained
    source = None if request.fresh else str(file) if file is not None else tag
    if source == "":
        raise RequestError(f"{request.name} needs the name of its weights: open_clip:{architecture}/PRETRAINED")
    quick = tag == "openai"  # these weights were trained with the quick GELU
    model = request.get(
        "the weights", lambda: open_clip.create_model(architecture, pretrained=source, force_quick_gelu=quick)
    ).eval()
    names = list(wish.class_names) or imagenet_names(wish.label_space or "imagenet-1k", open_clip.IMAGENET_CLASSNAMES)
    templates: Sequence[str] = wish.templates or ((preset.prompt,) if preset is not None else ("a photo of a {}.",))
    text = text_features(model.encode_text, open_clip.get_tokenizer(architecture), names, templates)
    digest = weights_sha256(model)
    config = model.visual.preprocess_cfg
    side = config["size"] if isinstance(config["size"], int) else config["size"][0]
    transform = (
        preset.transform
        if preset is not None
        else Transform("shorter", side, side, tuple(config["mean"]), tuple(config["std"]), config["interpolation"])
    )
    made = _named(ZeroShot(ImageTower(model), text), transform)
    words = prompts_in_words(names, templates)
    return replace(made, prompts=words, constants={"text_features": text.cpu()}, weights_sha256=digest)


def _small(request: _Request) -> Backbone:
    preset = request.preset
    assert preset is not None
    assert preset.classes is not None
    model = make_small(preset.architecture, preset.classes)
    file = request.file
    if file is not None:
        load_into(model, file)
    return _named(model, preset.transform)


def _hub(request: _Request) -> Backbone:
    return _timm(replace(request, rest=request.name))


def _script(request: _Request) -> Backbone:
    if request.fresh:
        raise RequestError(
            f"{RANDOM} makes fresh weights for an architecture, and {request.name} is a finished program"
        )
    file, _, head = request.rest.partition("#")
    size = request.wish.image_size or 224
    transform = Transform("shorter", round(size / 0.875), size, IMAGENET_MEAN, IMAGENET_STD)
    path = Path(file)
    example = torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(0))
    made = _named(open_program(path, head, example), transform)
    return replace(made, weights_sha256=sha256_of_file(path))


_LOADERS = {
    "timm": _timm,
    "torchvision": _torchvision,
    "open_clip": _open_clip,
    "openood": _small,
    "mnist-oe": _small,
    "hf-hub": _hub,
    "script": _script,
}


def _named(module: nn.Module, transform: Transform, **rest: Any) -> Backbone:
    return Backbone(name="", seed=None, module=module, transform=transform, weights_sha256="", **rest)


def _sized(transform: Transform, size: int | None) -> Transform:
    """The same transform for another size of image."""
    if size is None or size == transform.size:
        return transform
    ratio = transform.resize_to / transform.size
    return replace(transform, resize_to=round(size * ratio), crop=size if transform.crop else 0)


def _of_timm(config: dict[str, Any]) -> Transform:
    side = config["input_size"][-1]
    resize_to = math.floor(side / config["crop_pct"])
    squash = config["crop_mode"] == "squash"
    given = config["interpolation"]
    interpolation: Interpolation = given if given in ("bilinear", "nearest") else "bicubic"
    return Transform(
        "squash" if squash else "shorter", resize_to, side, tuple(config["mean"]), tuple(config["std"]), interpolation
    )


def _of_torchvision(given: Any) -> Transform:
    return Transform(
        "shorter",
        given.resize_size[0],
        given.crop_size[0],
        tuple(given.mean),
        tuple(given.std),
        given.interpolation.value,
    )


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise RequestError(
            f"this backbone needs {PACKAGES[name]}, which is not installed; pip install 'ood-bench[backbones]'"
        ) from error
