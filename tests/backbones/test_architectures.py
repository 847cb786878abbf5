"""Architectures of many kinds with random weights: images -> banks -> `run --scorer all`, and the head gives the logits.

`pytest -m slow` does so for all of them, the ViM paper's six among them, with every scorer, which takes minutes at 1000
classes; the quick part takes the small networks and a scorer of each kind. They run at their own resolution where that
decides the architecture, and at a smaller one elsewhere; weights are random, so the transform is all that changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_images import image_folders, make_banks

from ood_bench import api
from ood_bench.backbones.opening import Wish, open_backbone
from ood_bench.bank.heads import read_head
from ood_bench.bank.reader import open_bank
from ood_bench.errors import RequestError
from ood_bench.extraction.suite import Extraction
from ood_bench.home import Home

SLOW = pytest.mark.slow
ARCHITECTURES = {
    "bit-s": 64,
    "vit-b16": 32,
    "repvgg-b3": 64,
    "resnet50d": 64,
    "swin-b": None,
    "deit-b": 32,
    "torchvision:vgg11": 64,
    "torchvision:densenet121": 64,
    "torchvision:mobilenet_v3_small": 64,
    "timm:convnext_atto": 64,
    "timm:deit_tiny_distilled_patch16_224": 64,
    "timm:efficientnet_b0": 64,
    "timm:caformer_s18": 64,
    "openood-cifar10": None,
}
CUT = ("resnet50d", "vit-b16", "torchvision:mobilenet_v3_small", "timm:efficientnet_b0", "torchvision:densenet121")
RUN = ("timm:convnext_atto", "timm:deit_tiny_distilled_patch16_224", "openood-cifar10")
SOME = ("msp", "energy", "logitgap", "vim:dim=4", "react", "knn")
HEAD_BASED = ("vim", "residual", "react", "dice", "fdbd", "nci")


def banks(model: str, size: int | None, tmp_path: Path, classes: int = 4) -> tuple[Extraction, Home]:
    home = Home(tmp_path / "home")
    return make_banks(f"random:{model}", image_folders(tmp_path / "data", classes=classes), home, image_size=size), home


@pytest.mark.parametrize("model", [*CUT, *RUN])
def test_images_become_banks_that_scorers_read(model: str, tmp_path: Path) -> None:
    check(model, tmp_path, SOME if model in RUN else ())


@SLOW
@pytest.mark.parametrize("model", ARCHITECTURES)
def test_images_become_banks_that_every_scorer_reads(model: str, tmp_path: Path) -> None:
    check(model, tmp_path, ("all",))


def check(model: str, tmp_path: Path, scorers: tuple[str, ...]) -> None:
    made, home = banks(model, ARCHITECTURES[model], tmp_path)
    assert made.head_refused is None
    head = read_head(home.head_folder(f"random:{model}", None, "mine"))
    for one in made.banks.values():
        bank = open_bank(one.manifest.identity.folder(home))
        derived = bank.read("features").double() @ head.weight.double().T + head.bias.double()
        logits = bank.read("logits").double()
        assert float((derived - logits).abs().max()) <= 1e-5 * max(1.0, float(logits.abs().max()))
        assert one.manifest.head_error is not None
        assert one.manifest.head_error <= 1e-5 * max(1.0, float(logits.abs().max()))
        assert float(logits.std(dim=0).max()) > 0, "every image gives the same logits"
    if scorers:
        results = api.run("mine", f"random:{model}", list(scorers), home=home.root, device="cpu")
        # so few images leave nothing over for ViM's default dimension: with all scorers it is skipped with that reason
        assert scored(results) >= {"msp", "knn", "energy", "logitgap", "react+energy"}
        assert "vim" in scored(results) or scorers == ("all",)
        assert not results.failed


def scored(results: api.Results) -> set[str]:
    return {row.scorer for row in results.rows if row.status == "ok"}


@pytest.mark.parametrize(
    ("model", "size"),
    [
        pytest.param("timm:volo_d1_224", None, id="volo", marks=SLOW),
        pytest.param("torchvision:squeezenet1_1", 64, id="squeezenet"),
    ],
)
def test_a_head_that_is_not_linear_keeps_its_logits_and_refuses_what_needs_it(
    model: str, size: int | None, tmp_path: Path
) -> None:
    made, home = banks(model, size, tmp_path)
    assert made.head_refused is not None
    assert made.head_refused.startswith("the head is not linear: ")
    results = api.run(
        "mine",
        f"random:{model}",
        ["msp", "energy", "maxlogit", "logitgap", "knn", *HEAD_BASED],
        home=home.root,
        device="cpu",
    )
    assert scored(results) >= {"msp", "energy", "maxlogit", "logitgap", "knn"}
    reasons = {one.scorer.partition("+")[0]: one.reason for one in results.skipped}
    for scorer in HEAD_BASED:
        assert scorer not in scored(results)
        assert reasons[scorer].startswith("the head does not reproduce the logits: features @ W.T + b is off by up to")


def bit_arrays(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """A BiT checkpoint in the layout of the public bucket, filled with random numbers of the right shapes."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}

    def conv(key: str, weight: torch.Tensor) -> None:
        out, inner, height, width = weight.shape
        arrays[f"resnet/{key}"] = rng.normal(0, 0.1, (height, width, inner, out)).astype(np.float32)

    def norm(key: str, width: int) -> None:
        arrays[f"resnet/{key}/gamma"] = rng.normal(1, 0.1, width).astype(np.float32)
        arrays[f"resnet/{key}/beta"] = rng.normal(0, 0.1, width).astype(np.float32)

    state = model.state_dict()
    conv("root_block/standardized_conv2d/kernel", state["stem.conv.weight"])
    norm("group_norm", state["norm.weight"].shape[0])
    arrays["resnet/head/conv2d/kernel"] = rng.normal(0, 0.1, (1, 1, *state["head.fc.weight"].shape[1::-1])).astype("f4")
    arrays["resnet/head/conv2d/bias"] = rng.normal(0, 0.1, state["head.fc.bias"].shape).astype(np.float32)
    for stage in range(4):
        for unit in range(sum(name.endswith("conv1.weight") for name in state if name.startswith(f"stages.{stage}."))):
            ours, theirs = f"stages.{stage}.blocks.{unit}", f"block{stage + 1}/unit{unit + 1:02d}"
            for index, letter in ((1, "a"), (2, "b"), (3, "c")):
                conv(f"{theirs}/{letter}/standardized_conv2d/kernel", state[f"{ours}.conv{index}.weight"])
                norm(f"{theirs}/{letter}/group_norm", state[f"{ours}.norm{index}.weight"].shape[0])
            if f"{ours}.downsample.conv.weight" in state:
                conv(f"{theirs}/a/proj/standardized_conv2d/kernel", state[f"{ours}.downsample.conv.weight"])
    return arrays


def test_a_bit_checkpoint_in_the_layout_of_the_public_bucket_loads(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        shapes = timm.create_model("resnetv2_101x1_bit")
    arrays = bit_arrays(shapes)
    file = tmp_path / "BiT-S-R101x1.npz"
    np.savez(file, **arrays)  # type: ignore[arg-type]  # names are texts
    home = Home(tmp_path / "home")
    backbone = open_backbone("bit-s", home, Wish(weights=file))
    state = backbone.module.state_dict()
    first = torch.from_numpy(arrays["resnet/block1/unit01/a/standardized_conv2d/kernel"]).permute(3, 2, 0, 1)
    assert torch.equal(state["stages.0.blocks.0.conv1.weight"], first)
    assert torch.equal(state["norm.weight"], torch.from_numpy(arrays["resnet/group_norm/gamma"]))
    head = torch.from_numpy(arrays["resnet/head/conv2d/kernel"][0, 0]).T
    assert torch.equal(state["head.fc.weight"].flatten(1), head)
    assert backbone.weights_sha256 == open_backbone("bit-s", home, Wish(weights=tmp_path)).weights_sha256
    file.write_bytes(b"not an archive")
    with pytest.raises(Exception, match=r"of bit-s could not be had|cannot be read"):
        open_backbone("bit-s", home, Wish(weights=file))


def test_clip_is_a_classifier_by_its_prompts_with_raw_cosines(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    home, names = Home(tmp_path / "home"), ("cat", "dog", "fish", "bird")
    wish = Wish(class_names=names, templates=("a photo of a {}.",))
    made = make_banks(
        "random:open_clip:ViT-B-32/openai", image_folders(tmp_path / "data", fit=2), home, wish=wish, only=("val",)
    )
    bank = open_bank(made.banks["mine/val"].manifest.identity.folder(home))
    features, text = bank.read("features"), bank.constants["text_features"]
    assert torch.allclose(features.norm(dim=1), torch.ones(bank.n), atol=1e-5)
    assert torch.allclose(text.norm(dim=1), torch.ones(4), atol=1e-5)
    assert torch.allclose(bank.read("logits"), features @ text.T, atol=1e-6)
    assert float(read_head(home.head_folder(bank.model, None, "mine")).bias.abs().max()) == 0
    assert "zero-shot with 'a photo of a {}.' over 4 classes" in bank.manifest.identity.preprocessing
    with pytest.raises(RequestError, match=r"class names are known for ImageNet's label spaces .*--class-names FILE"):
        make_banks("random:open_clip:ViT-B-32/openai", tmp_path / "data", home)


@SLOW
def test_a_backbone_without_a_head_gets_a_linear_probe(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    made = make_banks("random:dinov2-b14", image_folders(tmp_path / "data"), home, image_size=28)
    assert made.head_sha256 is not None
    assert made.accuracy is not None
    assert made.banks["mine/val"].manifest.n_classes is None
    results = api.run("mine", "random:dinov2-b14", ["msp", "vim:dim=4"], home=home.root, device="cpu")
    assert scored(results) == {"msp", "vim"}
