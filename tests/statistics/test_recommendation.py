"""Families of backbones, means over them, and what is recommended on which basis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from store_cases import bank, put, suite

from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.metrics.ood import auroc
from ood_bench.statistics.families import by_family, family_of
from ood_bench.statistics.recommendation import recommend
from ood_bench.store.row import Row
from ood_bench.store.store import Store

SIZES = {"test": 200, "a": 120, "b": 90, "c": 100}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("timm:resnet50.a1_in1k", "ResNet"),
        ("timm:vit_base_patch16_clip_224.openai", "CLIP"),
        ("vit-b-16", "ViT"),
        ("timm:swin_tiny_patch4", "Swin"),
        ("bit-s", "BiT"),
        ("timm:convnext_base", "ConvNeXt"),
        ("habit-net", "habit-net"),
        ("mnist-convnet", "small CNN"),
        ("digits-cnn", "small CNN"),
        ("torchvision:wide_resnet50_2", "WideResNet"),
        ("my-model", "my-model"),
    ],
)
def test_the_family_is_in_the_name(model: str, family: str) -> None:
    assert family_of(model) == family


def row(model: str, auroc: float | None, **fields: object) -> Row:
    ok = {
        "suite": "toy",
        "scorer": "msp",
        "set": "mean",
        "group": "near",
        "status": "skipped" if auroc is None else "ok",
    }
    numbers = dict.fromkeys(("fpr95_id_positive", "fpr95_ood_positive", "aupr_in", "aupr_out"), auroc)
    return Row(**{**ok, "model": model, "auroc": auroc, **numbers, **fields})  # type: ignore[arg-type]


def test_means_over_the_backbones_of_a_family() -> None:
    rows = [row("resnet50", 0.8), row("resnet18", 0.6), row("vit-b", 0.9), row("vit-l", None, reason="no bank")]
    resnet, vit = by_family(rows)
    assert (resnet.model, resnet.auroc, resnet.n_seeds) == ("ResNet", pytest.approx(0.7), 2)
    assert resnet.reason == "mean over 2 backbones: resnet50, resnet18"
    assert (vit.model, vit.status, vit.auroc) == ("ViT", "skipped", None)
    assert "2 backbones needs every one, but there is no number for vit-l" in (vit.reason or "")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Home(tmp_path / "home"))


def fill(store: Store, scorer: str, strength: float, model: str) -> dict[str, np.ndarray]:
    shared, own = np.random.default_rng(len(model)), np.random.default_rng([ord(letter) for letter in scorer + model])
    scores = {}
    for name, n in SIZES.items():
        scores[name] = shared.normal(0, 1, n) + strength * (name == "test") + own.normal(0, 0.2, n)
        put(store, scores[name], name, scorer=scorer, model=model, bank_sha256=bank(name + model))
    return scores


def test_the_best_comes_with_those_that_cannot_be_told_from_it(store: Store) -> None:
    best = fill(store, "best", 2.0, "resnet50")
    fill(store, "near", 1.99, "resnet50")
    fill(store, "poor", 0.5, "resnet50")
    found = recommend(store, suite(), "resnet50", top=3)
    assert (found.basis, found.checkpoints, found.n_id, found.n_ood) == ("own", ("resnet50",), 200, 310)
    assert {one.scorer for one in found.scorers[:2]} == {"best", "near"}
    assert found.as_good == (found.scorers[1].scorer,)
    assert found.scorers[2].p_value == pytest.approx(2 / 1001)
    (mine,) = [one for one in found.scorers if one.scorer == "best"]
    expected = [auroc(best["test"].astype(np.float32), best[name].astype(np.float32)) for name in ("a", "b", "c")]
    assert mine.auroc == pytest.approx(np.mean(expected))
    assert mine.low < mine.auroc < mine.high
    assert mine.worst_auroc == min(expected)
    assert len(recommend(store, suite(), "resnet50", top=1).scorers) == 1


def test_a_backbone_without_results_is_judged_by_its_family(store: Store) -> None:
    fill(store, "a", 2.0, "resnet50")
    fill(store, "b", 0.5, "resnet50")
    fill(store, "a", 0.5, "vit-b-16")
    fill(store, "b", 2.0, "vit-b-16")
    assert recommend(store, suite(), "resnet18").scorers[0].scorer == "a"
    of_vits = recommend(store, suite(), "vit-l")
    assert (of_vits.basis, of_vits.scorers[0].scorer) == ("family", "b")
    of_all = recommend(store, suite(), "swin-t")
    assert (of_all.basis, of_all.checkpoints) == ("all", ("resnet50", "vit-b-16"))


def test_incomplete_scorers_are_no_candidates(store: Store) -> None:
    put(store, np.arange(5.0), "test")
    put(store, np.arange(5.0), "a", scorer="other")
    with pytest.raises(RequestError, match="a recommendation needs a scorer with scores on every set of toy"):
        recommend(store, suite(), "net")
