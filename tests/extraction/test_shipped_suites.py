"""The shipped suites as data: lists that are what they say, sizes that papers print, and the way from nothing to banks."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from small_images import write_image

from ood_bench import published, shipped
from ood_bench.backbones import presets as preset_file
from ood_bench.canonical import sha256_of_lines
from ood_bench.cli import main
from ood_bench.extraction.listing import from_list
from ood_bench.extraction.status import described_sets
from ood_bench.home import Home
from ood_bench.shipped import DATA
from ood_bench.store.row import Row
from ood_bench.suites import Suite, list_suites, load_suite

EXPECTED = {
    "imagenet-vim", "openood-cifar10", "openood-cifar100", "openood-imagenet200", "openood-imagenet1k",
    "logitgap-imagenet", "logitgap-imagenet10", "logitgap-imagenet20", "logitgap-imagenet100", "ninco",
    "mano-cifar10c", "mano-cifar100c", "mano-imagenet-c",
}  # fmt: skip
ENTRY_BYTES = 2 << 20


@pytest.fixture
def suites(tmp_path: Path) -> dict[str, Suite]:
    return {suite.name: suite for suite in list_suites(Home(tmp_path)) if suite.name != "digits"}


def test_every_suite_of_the_papers_ships_with_paper_protocol_and_sources(suites: dict[str, Suite]) -> None:
    assert suites.keys() >= EXPECTED
    for suite in suites.values():
        assert suite.paper, suite.name
        assert suite.protocol, suite.name
        assert suite.fpr == ("ood_positive" if suite.name.startswith(("openood", "mnist")) else "id_positive")
        for spec in suite.sets.values():
            assert spec.licence, spec.name
            assert spec.source, spec.name
            assert spec.images, spec.name
            assert spec.downloads or spec.by_hand or spec.images.startswith("torchvision:"), spec.name


def test_shipped_lists_have_the_count_and_hash_that_their_set_says(suites: dict[str, Suite], tmp_path: Path) -> None:
    write_image(tmp_path / "one.png", 0)
    looked = 0
    for spec in described_sets(Home(tmp_path)).values():
        for file in (spec.list_file, spec.classes):
            assert file is None or (DATA / file).stat().st_size < ENTRY_BYTES
        if spec.list_file is not None:
            looked += 1
            lines = (DATA / spec.list_file).read_text(encoding="utf-8").splitlines()
            images = from_list(spec.name, lines, tmp_path, spec.list_file)
            assert (images.n, images.sha256) == (spec.count, spec.list_sha256), spec.name
    assert looked >= 7


def test_imagenets_lists_agree_with_each_other() -> None:
    classes = (DATA / "lists" / "imagenet-1k.classes.txt").read_text().split()
    assert (len(classes), classes) == (1000, sorted(set(classes)))
    val = [line.rsplit(" ", 1) for line in (DATA / "lists" / "imagenet-val.txt").read_text().splitlines()]
    labels = [int(label) for _, label in val]
    assert [labels.count(label) for label in (0, 500, 999)] == [50, 50, 50]
    by_name = dict(val)
    for n in (10, 20, 100):
        subset = (DATA / "lists" / f"imagenet-{n}.classes.txt").read_text().split()
        lines = [line.rsplit(" ", 1) for line in (DATA / "lists" / f"imagenet-{n}-val.txt").read_text().splitlines()]
        assert len(lines) == 50 * n
        assert all(classes[int(by_name[name])] == subset[int(label)] for name, label in lines)


def test_nincos_lists_are_its_authors(shared: Path, suites: dict[str, Suite]) -> None:
    suite = suites["ninco"]
    assert {group: len(sets) for group, sets in suite.groups.items()} == {
        "classes": 64, "whole": 1, "unit-tests": 17, "cleaned": 11,
    }  # fmt: skip
    assert sum(suite.sets[name].count or 0 for name in suite.groups["classes"]) == suite.sets["ninco"].count == 5879
    assert sum(suite.sets[name].count or 0 for name in suite.groups["unit-tests"]) == 6800
    with (shared / "data" / "ninco-lists" / "NINCO_OOD_classes.csv").open(encoding="utf-8") as file:
        rows = [row["image_location"].removeprefix("NINCO_OOD_classes/") for row in csv.DictReader(file)]
    assert suite.sets["ninco"].list_sha256 == sha256_of_lines(sorted(rows))


def test_published_figures_are_the_papers(suites: dict[str, Suite], shared: Path) -> None:
    figures = suites["imagenet-vim"].published

    def value(metric: str, scorer: str, model: str, name: str | None) -> list[str]:
        return [
            one.value
            for one in figures
            if (one.metric, one.scorer, one.model, one.set or one.group) == (metric, scorer, model, name)
        ]

    assert value("auroc", "vim", "bit-s", "openimage-o") == ["91.54"]
    assert value("fpr95", "vim", "vit-b16", "far") == ["18.07"]
    assert value("auroc", "react", "repvgg-b3", "far") == ["49.14"]
    # the printed averages are those of the printed cells, as far as two digits go
    for model in ("bit-s", "vit-b16"):
        for scorer in ("msp", "vim", "residual", "mds"):
            cells = [value("auroc", scorer, model, name)[0] for name in suites["imagenet-vim"].groups["far"]]
            printed = float(value("auroc", scorer, model, "far")[0])
            assert sum(map(float, cells)) / 4 == pytest.approx(printed, abs=0.011)
    with (shared / "data" / "openood-leaderboard" / "cifar10.csv").open(encoding="utf-8") as file:
        knn = next(
            row for row in csv.DictReader(file) if (row["Training"], row["Postprocessor"]) == ("CrossEntropy", "KNN")
        )
    ours = {one.group: one.value for one in suites["openood-cifar10"].published if one.scorer == "knn"}
    assert ours == {"near": knn["Near-OOD_AUROC"], "far": knn["Far-OOD_AUROC"]}


def test_our_rows_stand_beside_the_printed_figures_with_the_difference(suites: dict[str, Suite]) -> None:
    suite = suites["imagenet-vim"]
    row = Row(
        suite="imagenet-vim", model="bit-s", scorer="vim", set="openimage-o", group="far", status="ok", auroc=0.92,
        fpr95_id_positive=0.4396, fpr95_ood_positive=0.9,
    )  # fmt: skip
    found = [one for one in published.compare(suite, [row]) if one.ours is not None]
    by_metric = {one.published.metric: one for one in found}
    assert by_metric["auroc"].difference == pytest.approx(0.46)
    assert by_metric["fpr95"].difference == pytest.approx(0.0)
    assert len(published.compare(suite, [])) == len(suite.published)
    item = by_metric["auroc"].item()
    assert (item["printed"], item["ours"], item["difference"]) == ("91.54", 92.0, 0.46)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program with an `imagenet-vim` of a few images, and a data root that has them; `bit-s` sees 64x64 images."""
    data = tmp_path / "datasets"
    shutil.copytree(DATA, data)
    for name, count, lines in (
        ("imagenet-val", 6, [f"ILSVRC2012_val_{row:08d}.JPEG {row % 3}" for row in range(1, 7)]),
        ("openimage-o", 3, [f"{row:016x}.jpg" for row in range(3)]),
        ("texture-vim", 3, [f"banded/banded_{row:04d}.jpg" for row in range(3)]),
    ):
        (data / "lists" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
        ids = [line.partition(" ")[0] for line in lines]
        edit(data / "sets" / f"{name}.toml", count=count, list_sha256=sha256_of_lines(ids))
        root = {"imagenet-val": "imagenet/val/class", "openimage-o": "openimage_o", "texture-vim": "dtd/images"}[name]
        for seed, one in enumerate(ids):
            write_image(tmp_path / "root" / root / one, seed)
    edit(data / "sets" / "imagenet-train-200k.toml", count=6, per_class=2)
    edit(data / "sets" / "inaturalist-ood.toml", count=3)
    edit(data / "sets" / "imagenet-o.toml", count=3)
    (data / "lists" / "imagenet-1k.classes.txt").write_text("n1\nn2\nn3\n")
    for label in range(3):
        for row in range(4):
            write_image(tmp_path / "root" / "imagenet" / "train" / f"n{label + 1}" / f"{row}.JPEG", 10 * label + row)
    for row in range(3):
        write_image(tmp_path / "root" / "iNaturalist" / "images" / f"{row}.jpg", 100 + row)
        write_image(tmp_path / "root" / "imagenet-o" / "n1" / f"{row}.jpg", 200 + row)
    monkeypatch.setattr(shipped, "DATA", data)
    for module in ("ood_bench.extraction.locate.DATA", "ood_bench.backbones.zeroshot.DATA"):
        monkeypatch.setattr(module, data)
    text = preset_file.FILE.read_text().replace("resize_to = 480", "resize_to = 32")
    (tmp_path / "presets.toml").write_text(
        text.replace('architecture = "resnetv2_101x1_bit"', 'architecture = "test_resnet"')
    )
    monkeypatch.setattr(preset_file, "FILE", tmp_path / "presets.toml")
    preset_file.presets.cache_clear()
    return tmp_path / "root"


def edit(file: Path, **values: object) -> None:
    lines = [line for line in file.read_text().splitlines() if line.split(" = ")[0] not in values]
    head = [f"{key} = {value if isinstance(value, int) else repr(value)}" for key, value in values.items()]
    file.write_text("\n".join([lines[0], lines[1], *head, *lines[2:]]) + "\n")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_run_without_banks_prints_the_commands_and_they_lead_there(
    tiny: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    assert run("run", "--scorer", "vim", "--model", "bit-s") == 2
    said = capsys.readouterr().err
    assert "no banks of bit-s for suite imagenet-vim" in said
    assert "Weights of bit-s: https://storage.googleapis.com/bit_models/BiT-S-R101x1.npz" in said
    commands = [line.split("    ")[0].split() for line in said.splitlines() if line.startswith("  ood-bench ")]
    assert [words[1:3] for words in commands] == [
        ["datasets", "get"], ["datasets", "build"], ["datasets", "status"], ["extract", "--suite"], ["run", "--suite"],
    ]  # fmt: skip
    # the weights that a user has fetched: the place where `extract` looks before it fetches them
    weights = home / "weights" / "BiT-S-R101x1.npz"
    weights.parent.mkdir(parents=True)
    model = timm.create_model("test_resnet")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    try:
        for words in commands:
            arguments = [str(tiny) if word == "DIR" else word for word in words[1:]]
            if arguments[0] == "extract":
                arguments += ["--device", "cpu", "--workers", "0", "--weights", str(tmp_path / "w.pt")]
            if arguments[0] == "run":
                arguments += ["--scorer", "vim", "--device", "cpu"]
            assert run(*arguments) == 0, capsys.readouterr()
        assert "bit-s" in capsys.readouterr().out
        built = (home / "lists" / "imagenet-train-200k-seed0.txt").read_text().splitlines()
        assert [line.rsplit(" ", 1)[1] for line in built] == ["0", "0", "1", "1", "2", "2"]
        # a count that is wrong stops an extraction before it starts, whatever is there already
        write_image(tiny / "imagenet-o" / "n1" / "9.jpg", 1)
        assert run("extract", "--suite", "imagenet-vim", "--model", "bit-s", "--data-root", str(tiny)) == 2
        assert "set 'imagenet-o' should have 3 images, but 4 were found" in capsys.readouterr().err
        assert run("datasets", "status", "--suite", "imagenet-vim", "--data-root", str(tiny)) == 1
        assert run("datasets", "get", "imagenet-train-200k", "--data-root", str(tmp_path / "empty")) == 1
        assert "get ILSVRC2012_img_train.tar from image-net.org" in capsys.readouterr().out
    finally:
        preset_file.presets.cache_clear()


def test_a_shipped_name_is_refused_for_a_suite_of_ones_own(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", "random:bit-s", "--data-root", str(tmp_path), "--set", "a=a", "--test", "a"]
    assert run("extract", "--as", "imagenet-vim", *arguments) == 2
    assert "'imagenet-vim' is a suite that ships with ood-bench" in capsys.readouterr().err
    assert load_suite("imagenet-vim", Home(home)).origin == "shipped"
