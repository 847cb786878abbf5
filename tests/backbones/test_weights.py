"""Weights are read without executing anything, must fit, and are known by their hash."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ood_bench.backbones.opening import Wish, open_backbone
from ood_bench.backbones.small import make_small
from ood_bench.backbones.weights import check_file, load_into, read_state, weights_sha256
from ood_bench.canonical import sha256_of_file
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home


class Boom:
    """Unpickling it would leave a file behind."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.at,))


def test_the_same_tensors_are_the_same_weights_from_whatever_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    torch.save({"state_dict": {f"module.{name}": one for name, one in model.state_dict().items()}}, tmp_path / "a.pth")
    save_file(model.state_dict(), tmp_path / "b.safetensors")
    np.savez(tmp_path / "c.npz", **{name: one.numpy() for name, one in model.state_dict().items()})
    hashes = set()
    for file in ("a.pth", "b.safetensors", "c.npz"):
        other = nn.Linear(3, 2)
        load_into(other, tmp_path / file)
        hashes.add(weights_sha256(other))
    assert hashes == {weights_sha256(model)}


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    touched, file = tmp_path / "touched", tmp_path / "bad.pt"
    torch.save({"weight": Boom(touched)}, file)
    with pytest.raises(RequestError, match=r"cannot be read as plain tensors .*; save the state dict alone"):
        read_state(file)
    file.write_bytes(pickle.dumps(Boom(touched), protocol=2))
    with pytest.raises(RequestError, match="cannot be read as plain tensors"):
        read_state(file)
    assert not touched.exists()


def test_weights_of_another_architecture_are_refused_with_the_layer(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(RequestError, match=r"do not fit Linear: .*weight.*; name the architecture"):
        load_into(nn.Linear(3, 2), tmp_path / "w.safetensors")


def test_a_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(b"abc")
    check_file(file, sha256_of_file(file)[:8])
    with pytest.raises(IntegrityError, match=r"should have sha256 00000000\.\.\., got .*; remove the file"):
        check_file(file, "00000000")


def test_openoods_checkpoints_load_from_its_folders_by_seed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = make_small("resnet18_32x32", 10)
    # names as in OpenOOD's network: stages of blocks with a shortcut
    assert {"layer2.0.shortcut.0.weight", "layer4.1.bn2.running_var", "fc.weight"} <= model.state_dict().keys()
    assert sum(one.numel() for one in model.parameters()) == 11_173_962
    file = tmp_path / "results" / "cifar10_resnet18_32x32_base_e100_lr0.1_default" / "s1" / "best.ckpt"
    file.parent.mkdir(parents=True)
    torch.save(model.state_dict(), file)
    opened = open_backbone("openood-cifar10", Home(tmp_path / "home"), Wish(seed=1, weights=tmp_path / "results"))
    assert opened.weights_sha256 == weights_sha256(model)
    with pytest.raises(RequestError, match=r"has checkpoints 0 to 2; name one with --model-seed, got None"):
        open_backbone("openood-cifar10", Home(tmp_path / "home"), Wish(weights=tmp_path / "results"))
    with pytest.raises(RequestError, match=r"s2/best.ckpt, but there is no such file"):
        open_backbone("openood-cifar10", Home(tmp_path / "home"), Wish(seed=2, weights=tmp_path / "results"))
    with pytest.raises(RequestError, match=r"must be fetched by hand: download https://drive.google.com"):
        open_backbone("openood-cifar10", Home(tmp_path / "home"), Wish(seed=0))


def test_unknown_names_are_refused_with_what_there_is(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(RequestError, match=r"no backbone is named 'bit-x' \(did you mean 'bit-s'"):
        open_backbone("bit-x", home)
    with pytest.raises(RequestError, match=r"no torchvision classifier is named 'resnet51' \(did you mean"):
        open_backbone("torchvision:resnet51", home)
    with pytest.raises(RequestError, match=r"no weights of torchvision's resnet18 is named 'V9'"):
        open_backbone("torchvision:resnet18/V9", home)
    with pytest.raises(RequestError, match=r"of timm:no_such_net could not be had .*pass them with --weights FILE"):
        open_backbone("random:timm:no_such_net", home)
