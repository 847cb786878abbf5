"""Extraction: what stops it before it starts, what it skips, that it is repeatable, and that a cut leaves no trace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from small_images import image_folders, make_banks, write_image

import ood_bench
from ood_bench.backbones import opening
from ood_bench.bank.catalog import find_banks
from ood_bench.bank.reader import open_bank
from ood_bench.cli import main
from ood_bench.errors import RequestError
from ood_bench.extraction.accuracy import Accuracy
from ood_bench.extraction.locate import own_images
from ood_bench.extraction.probing import Probe
from ood_bench.extraction.readers import open_image
from ood_bench.extraction.running import SKIPPED
from ood_bench.home import Home
from ood_bench.suites import load_suite

MODEL = "random:openood-cifar10"  # small, ten classes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return image_folders(tmp_path / "data")


def hashes(home: Home) -> dict[str, str]:
    return {manifest.identity.set: manifest.bank_sha256 for _, manifest in find_banks(home)}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_same_request_gives_the_same_banks_and_does_nothing_twice(data: Path, tmp_path: Path) -> None:
    first, second = Home(tmp_path / "a"), Home(tmp_path / "b")
    made = make_banks(MODEL, data, first, rows_per_shard=8)
    make_banks(MODEL, data, second, rows_per_shard=8)
    assert hashes(first) == hashes(second)
    assert not any(one.already for one in made.banks.values())
    again = make_banks(MODEL, data, first, rows_per_shard=8)
    assert all(one.already for one in again.banks.values())
    suite = load_suite("mine", first)
    assert (suite.fit, suite.test, suite.groups) == ("mine/train", "mine/val", {"far": ("mine/noise",)})
    assert suite.models == (MODEL,)
    bank = open_bank(made.banks["mine/val"].manifest.identity.folder(first))
    assert bank.ids[0] == "c00/image-000.png"
    assert bank.read("labels").tolist() == [label for label in range(4) for _ in range(3)]


def test_batch_size_and_precision_change_the_numbers_a_little_and_the_identity_with_them(
    data: Path, tmp_path: Path
) -> None:
    one, other = Home(tmp_path / "a"), Home(tmp_path / "b")
    features = []
    for home, batch in ((one, 5), (other, 24)):
        made = make_banks(MODEL, data, home, batch=batch)
        features.append(open_bank(made.banks["mine/train"].manifest.identity.folder(home)).read("features"))
    assert torch.allclose(features[0], features[1], rtol=1e-4, atol=1e-4)
    mixed = make_banks(MODEL, data, Home(tmp_path / "c"), precision="bf16")
    identity = mixed.banks["mine/train"].manifest.identity
    assert identity.preprocessing.endswith("; mixed precision bf16")


def test_several_processes_write_the_same_bank_as_one(data: Path, tmp_path: Path) -> None:
    one, several = Home(tmp_path / "a"), Home(tmp_path / "b")
    make_banks(MODEL, data, one, rows_per_shard=5, batch=3, only=("val",))
    make_banks(MODEL, data, several, rows_per_shard=5, batch=3, only=("val",), devices=("cpu", "cpu"))
    assert hashes(one) == hashes(several)
    assert not list(several.root.rglob("*.units")), "the processes' own files are gone"


# One interpreter does it all, because starting torch is slow: each attempt is a forked child.
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from pathlib import Path
from small_images import make_banks
from ood_bench.bank import partial
from ood_bench.home import Home

data, root = Path(sys.argv[2]), Path(sys.argv[3])

def extract(home, kill_at, on_bad):
    seen = 0
    def add(self, tensors, ids, fit, original=partial.PartialBank.add):
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, tensors, ids, fit)
    child = os.fork()
    if not child:
        try:
            partial.PartialBank.add = add
            make_banks("random:openood-cifar10", data, Home(root / home), rows_per_shard=5, batch=3, on_bad=on_bad,
                       only=("train",))
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(3)
    return os.waitpid(child, 0)[1]

for on_bad in ("fail", "skip"):
    assert extract(f"whole-{on_bad}", 0, on_bad) == 0
    assert extract(f"cut-{on_bad}", 3, on_bad) == signal.SIGKILL
    shards = {path.name for path in Home(root / f"cut-{on_bad}").banks.rglob("shard-*.safetensors")}
    assert shards == {"shard-00000.safetensors", "shard-00001.safetensors"}, shards
    assert extract(f"cut-{on_bad}", 0, on_bad) == 0
    (data / "train" / "c01" / "image-001.jpg").write_text("no image")
"""


def test_kill_9_in_the_middle_and_resume_gives_the_hashes_of_an_uninterrupted_run(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1]), str(data), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for on_bad in ("fail", "skip"):
        cut, whole = Home(tmp_path / f"cut-{on_bad}"), Home(tmp_path / f"whole-{on_bad}")
        assert hashes(cut) == hashes(whole) != {}
        noted = [path.read_text() for home in (cut, whole) for path in home.banks.rglob(SKIPPED)]
        assert [text.partition("\t")[0] for text in noted] == (["c01/image-001.jpg"] * 2 if on_bad == "skip" else [])


def test_images_that_cannot_be_read_are_named_or_left_out(data: Path, tmp_path: Path) -> None:
    bad = data / "train" / "c00" / "image-001.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(bad)
    bad.write_bytes(bad.read_bytes()[:400])
    with pytest.raises(RequestError, match=r"c00/image-001.jpg cannot be read \(.*--on-bad skip"):
        make_banks(MODEL, data, Home(tmp_path / "a"))
    bad.write_text("this is no image")
    with pytest.raises(RequestError, match=r"c00/image-001.jpg cannot be read \(it is no image\); get it again"):
        make_banks(MODEL, data, Home(tmp_path / "a"))
    home = Home(tmp_path / "b")
    made = make_banks(MODEL, data, home, on_bad="skip").banks["mine/train"]
    assert dict(made.skipped) == {"c00/image-001.jpg": "it is no image"}
    folder = made.manifest.identity.folder(home)
    assert (folder / SKIPPED).read_text() == "c00/image-001.jpg\tit is no image\n"
    assert (made.manifest.n, len(open_bank(folder).ids)) == (23, 23)


def test_another_network_under_the_same_name_is_refused_unless_replaced(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    make_banks("random:openood-cifar10", data, home)
    original = opening.randomise
    monkeypatch.setattr(opening, "randomise", lambda model, seed: original(model, seed + 1))
    with pytest.raises(RequestError, match=r"made with another weights_sha256; pass --replace to put the new one"):
        make_banks("random:openood-cifar10", data, home)
    before = hashes(home)
    make_banks("random:openood-cifar10", data, home, replace=True)
    assert hashes(home).keys() == before.keys()
    assert hashes(home) != before


def test_a_linear_probe_is_fitted_for_a_backbone_without_a_head(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    home = Home(tmp_path / "home")
    made = make_banks("random:timm:test_vit.r160_in1k", data, home)
    assert made.head_refused is None
    bank = open_bank(made.banks["mine/train"].manifest.identity.folder(home))
    head = Probe().fit(bank)
    logits = head.logits(bank.read("features"))
    assert head.n_classes == 4
    assert float((logits.argmax(dim=1) == bank.read("labels")).float().mean()) == 1.0
    # against scikit-learn's solver of the same problem
    features = bank.read("features").double().numpy()
    mean, scale = features.mean(axis=0), features.std(axis=0)
    oracle = LogisticRegression(C=1 / (2 * 1e-4 * bank.n), max_iter=5000, tol=1e-10)
    oracle.fit((features - mean) / scale, bank.read("labels").numpy())
    theirs = oracle.decision_function((features - mean) / scale)
    ours = logits.double().numpy()
    centred = ours - ours.mean(axis=1, keepdims=True)
    assert np.allclose(centred, theirs - theirs.mean(axis=1, keepdims=True), atol=0.05 * np.abs(theirs).max())


def test_accuracy_far_from_the_printed_one_is_a_loud_warning() -> None:
    near = Accuracy("val", 1000, 0.7610, 76.13, "torchvision")
    assert near.warning is None
    far = Accuracy("val", 1000, 0.7550, 76.13, "torchvision")
    assert far.warning is not None
    assert "is 75.50 %, and 76.13 % is printed (torchvision): -0.63 points. A wrong transform" in far.warning
    assert Accuracy("val", 1000, 0.1).warning is None


def test_a_python_object_becomes_a_bank(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    model.train()
    images, labels = torch.randn(10, 3, 2, 2), torch.arange(10) % 3
    loader = [(images[:6], labels[:6]), (images[6:], labels[6:])]
    bank = ood_bench.extract(model, loader, set="train", device="cpu")
    assert (bank.n, bank.n_features, bank.n_classes, bank.ids[9]) == (10, 6, 3, "train/9")
    assert model.training
    with torch.no_grad():
        assert torch.equal(bank.read("logits"), torch.cat([model(images[:6]), model(images[6:])]))
    kept = ood_bench.extract(model, loader, set="train", model_name="net", home=tmp_path, device="cpu")
    assert torch.equal(kept.read("features"), bank.read("features"))
    assert open_bank(find_banks(Home(tmp_path))[0][0]).sha256 == kept.sha256
    with pytest.raises(RequestError, match="the loader gave no images"):
        ood_bench.extract(model, [], set="train")


def test_programs_are_cut_at_the_head_that_is_named(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential()
    net.add_module(
        "body", torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 9))
    )
    net.add_module("act", torch.nn.ReLU())
    net.add_module("fc", torch.nn.Linear(9, 5))
    exported = torch.export.export(
        net, (torch.randn(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)
    )
    torch.export.save(exported, tmp_path / "net.pt2")
    name = f"script:{tmp_path / 'net.pt2'}#fc"
    made = make_banks(name, data, Home(tmp_path / "home"), image_size=32)
    assert made.head_refused is None
    manifest = made.banks["mine/val"].manifest
    assert (manifest.n_features, manifest.n_classes) == (9, 5)
    with pytest.raises(
        RequestError, match=r"has no linear layer 'head' to be the head; its linear layers are: body.2, fc"
    ):
        make_banks(name.replace("#fc", "#head"), data, Home(tmp_path / "home"), image_size=32)
    with pytest.raises(RequestError, match=r"the layer 'body.2' does not make the logits"):
        make_banks(name.replace("#fc", "#body.2"), data, Home(tmp_path / "home"), image_size=32)


def test_the_command_line_extracts_says_what_it_costs_and_prints_json(
    data: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "extract",
        "--as",
        "mine",
        "--model",
        MODEL,
        "--data-root",
        str(data),
        "--device",
        "cpu",
        "--workers",
        "0",
    ]
    arguments += ["--set", "train=train", "--fit", "train", "--set", "val=val", "--test", "val"]
    arguments += ["--set", "noise=noise", "--far", "noise"]
    assert run(*arguments, "--dry-run", "--json") == 0
    cost = json.loads(capsys.readouterr().out)
    assert cost["images"] == 24 + 12 + 8
    assert cost["bytes"] == 44 * ((512 + 10) * 4 + 8)
    assert cost["hours"] > 0
    assert not (home / "banks").exists()
    assert run(*arguments, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert [one["set"] for one in done["banks"]] == ["mine/train", "mine/val", "mine/noise"]
    assert done["accuracy"]["set"] == "mine/val"
    assert run("run", "--suite", "mine", "--model", MODEL, "--scorer", "msp", "--device", "cpu") == 0
    assert run(*arguments[:-2]) == 2
    assert "--set noise has no role" in capsys.readouterr().err


def test_a_list_that_leaves_its_folder_stops_the_command(
    data: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "list.txt").write_text("../../etc/passwd\n")
    arguments = [
        "extract",
        "--as",
        "mine",
        "--model",
        MODEL,
        "--data-root",
        str(data),
        "--set",
        "s=list.txt",
        "--test",
        "s",
    ]
    assert run(*arguments) == 2
    assert "'../../etc/passwd', which lies outside the folder of the images" in capsys.readouterr().err
    assert not (home / "banks").exists()


def test_arrays_and_torchvisions_sets_are_read_like_files(data: Path, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), dtype=np.uint8)
    np.save(data / "fog.npy", array)
    np.save(data / "labels.npy", np.arange(6))
    images = own_images("fog", "npy:fog.npy:2:5", data)
    assert (images.labels, images.ids[0]) == ((2, 3, 4), "fog/000002")
    assert np.array_equal(np.asarray(open_image(images.places[1])), array[3])
    with pytest.raises(RequestError, match=r"rows 2 to 9 are asked of .*, which has 6"):
        own_images("fog", "npy:fog.npy:2:9", data)
    fake = own_images("fake", "torchvision:ImageFolder", data / "val")
    assert (fake.n, len(fake.labels or ())) == (12, 12)
    assert open_image(fake.places[0]).size == (40, 36)
    with pytest.raises(RequestError, match="torchvision has no image data set 'Nothing'"):
        own_images("x", "torchvision:Nothing", data)
    with pytest.raises(RequestError, match=r"torchvision's CIFAR10 \(test\) cannot be read from"):
        own_images("x", "torchvision:CIFAR10:test", data)
    write_image(data / "one.png", 0)
    with pytest.raises(RequestError, match=r"--set x=one.png: expects a folder of images, a list LIST.txt"):
        own_images("x", "one.png", data)
