"""The presets: every one is whole, the ViM paper's six see images as the authors' scripts show them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ood_bench.backbones.presets import presets
from ood_bench.backbones.transform import Transform
from ood_bench.home import Home
from ood_bench.suites import list_suites

HALF = (0.5, 0.5, 0.5)
IMAGENET = (0.485, 0.456, 0.406)


def test_every_preset_says_where_its_weights_come_from_under_which_licence_and_what_to_expect() -> None:
    for preset in presets().values():
        assert preset.where, preset.name
        assert preset.licence, preset.name
        assert preset.title, preset.name
        assert bool(preset.accuracy) == bool(preset.accuracy_source) == bool(preset.accuracy_on), preset.name
        assert not preset.accuracy or 0 < float(preset.accuracy) <= 100


@pytest.mark.parametrize(
    ("name", "side", "mean"),
    [
        ("bit-s", 480, HALF),
        ("vit-b16", 384, HALF),
        ("repvgg-b3", 224, IMAGENET),
        ("resnet50d", 224, IMAGENET),
        ("swin-b", 224, IMAGENET),
        ("deit-b", 224, IMAGENET),
    ],
)
def test_the_six_of_the_vim_paper_are_squashed_to_a_square_without_a_crop(name: str, side: int, mean: tuple) -> None:
    transform = presets()[name].transform
    assert (transform.resize, transform.resize_to, transform.crop) == ("squash", side, 0)
    assert (transform.interpolation, transform.mean) == ("bilinear", mean)


def test_every_model_that_a_shipped_suite_names_is_a_preset_and_in_one_suite_only(tmp_path) -> None:
    owners: dict[str, list[str]] = {}
    for suite in list_suites(Home(tmp_path)):
        for model in suite.models if suite.origin == "shipped" else ():
            owners.setdefault(model, []).append(suite.name)
    owners.pop("digits-cnn")
    assert set(owners) <= set(presets())
    assert all(len(suites) == 1 for suites in owners.values()), owners


def test_a_transform_in_words_tells_transforms_apart() -> None:
    squash = Transform("squash", 224, 0, IMAGENET, HALF)
    shorter = Transform("shorter", 256, 224, IMAGENET, HALF, "bicubic")
    assert str(squash) == "RGB, resize 224x224 bilinear, mean 0.485/0.456/0.406, std 0.5/0.5/0.5"
    assert str(shorter).startswith("RGB, resize shorter side 256 bicubic, centre crop 224, mean")
    assert (squash.size, shorter.size) == (224, 224)


def test_presets_and_published_figures_need_no_torch() -> None:
    code = """
import sys
from ood_bench.backbones.presets import presets
import ood_bench.published, ood_bench.extraction.listing, ood_bench.extraction.units
presets()
sys.exit(any(name in sys.modules for name in ("torch", "timm", "torchvision", "pandas")))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
