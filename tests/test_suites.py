"""Sets and suites: what is read is what was written, and a wrong file is refused with the key that is wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ood_bench import shipped
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.suites import (
    Published,
    SetSpec,
    Suite,
    list_suites,
    load_suite,
    parse_suite,
    suite_path,
    suite_toml,
    write_suite,
)

LIST = "0123456789abcdef" * 4
WHOLE = Suite(
    name="mine",
    source=Path("elsewhere.toml"),
    origin="home",
    title="A suite of mine",
    paper="Somebody et al. 2024",
    protocol='lines\nand "quotes"',
    fpr="ood_positive",
    label_space="digits",
    models=("net-a", "timm:net.b_in1k"),
    fit="train",
    val="train-val",
    test="test set",
    groups={"near": ("cifar10_gray", "b"), "far": ("c",)},
    shifted={"gaussian_noise": ("gaussian_noise-1", "gaussian_noise-2")},
    published=(
        Published("Table 1", "msp", "net-a", "auroc", "99.30", set="c"),
        Published("Table 2", "msp", "net-a", "fpr95", "6.5", group="near", orientation="ood_positive"),
        Published("Table 3", "msp", "net-a", "id_accuracy", "95.06 ± 0.30"),
    ),
    sets={
        name: SetSpec(name, count=3)
        for name in ("train", "train-val", "test set", "cifar10_gray", "b", "c", "gaussian_noise-1", "gaussian_noise-2")
    }
    | {"c": SetSpec("c", "C", 7, LIST, "CC0", "somewhere", "lists/c.txt", "every tenth", 0)},
)

SMALL = """
schema = 1
name = "small"
[roles]
fit = "train"
test = "test"
[groups]
near = ["a"]
[sets.train]
[sets.test]
[sets.a]
"""


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def keep(place: Home, text: str, name: str = "small") -> Path:
    place.suites.mkdir(parents=True, exist_ok=True)
    path = suite_path(place, name)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_suite_comes_back_as_it_was_written(place: Home) -> None:
    path = write_suite(place, WHOLE)
    back = load_suite("mine", place)
    assert back == replace(WHOLE, source=path)
    assert suite_toml(back) == path.read_text(encoding="utf-8")
    assert [suite.name for suite in list_suites(place) if suite.origin == "home"] == ["mine"]


def test_members_come_in_order_of_role() -> None:
    roles = [role for role, _ in WHOLE.members]
    assert roles == ["fit", "val", "test", "near", "near", "far", "gaussian_noise", "gaussian_noise"]
    assert WHOLE.role_of("b") == "near"
    with pytest.raises(RequestError, match=r"no set of suite mine is named 'cc' \(did you mean 'c'\?\)"):
        WHOLE.role_of("cc")


def test_any_role_may_be_missing(place: Home) -> None:
    keep(place, 'schema = 1\nname = "small"\n[groups]\nfar = ["a"]\n[sets.a]\n')
    suite = load_suite("small", place)
    assert (suite.fit, suite.val, suite.test, suite.shifted) == (None, None, None, {})
    assert (suite.fpr, suite.label_space) == ("id_positive", "small")


def test_sets_are_looked_up_in_the_file_then_in_the_home_then_among_the_shipped(
    place: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "datasets"
    (ours / "sets").mkdir(parents=True)
    (ours / "suites").mkdir()
    monkeypatch.setattr(shipped, "DATA", ours)
    (place.root / "sets").mkdir(parents=True)
    for name in ("inline", "own", "shipped"):
        (ours / "sets" / f"{name}.toml").write_text(f'schema = 1\nname = "{name}"\ntitle = "shipped"\n')
    for name in ("inline", "own"):
        (place.root / "sets" / f"{name}.toml").write_text(f'schema = 1\nname = "{name}"\ntitle = "own"\n')
    text = 'schema = 1\nname = "small"\n[groups]\nfar = ["inline", "own", "shipped"]\n[sets.inline]\ntitle = "inline"\n'
    keep(place, text)
    assert {name: spec.title for name, spec in load_suite("small", place).sets.items()} == {
        "inline": "inline",
        "own": "own",
        "shipped": "shipped",
    }

    # the same three folders decide whose a suite is
    (ours / "suites" / "small.toml").write_text(text)
    with pytest.raises(RequestError, match=r"small.toml has the name of a suite that ships with ood-bench, 'small'"):
        load_suite("small", place)
    with pytest.raises(RequestError, match="ships with ood-bench"):
        list_suites(place)
    (ours / "suites" / "mine.toml").write_text("")
    with pytest.raises(RequestError, match="'mine' is a suite that ships with ood-bench; give your own"):
        write_suite(place, WHOLE)
    assert not suite_path(place, "mine").exists()
    suite_path(place, "small").unlink()
    assert load_suite("small", place).origin == "shipped"


@pytest.mark.parametrize(
    ("line", "instead", "message"),
    [
        ('name = "small"', 'nmae = "small"', r"has the unknown key 'nmae' \(did you mean 'name'\?\); the keys are: "),
        ('name = "small"', "", r"small.toml needs the key 'name', but it is not set"),
        ('name = "small"', 'name = "other"', r"names its suite 'other'; file name and suite name should be the same"),
        ('name = "small"', 'name = "my_Suite"', r"made of a-z, 0-9 and '-', got 'my_Suite'; 'my-suite' would do"),
        ("schema = 1", "", r"needs schema = 1 at its top, got None"),
        ("schema = 1", "schema = 2\ncolour = 3", r"has schema 2, but this version reads up to 1; upgrade ood-bench"),
        (
            "schema = 1",
            "schema = 1\nfpr = 'id'",
            r"'fpr' .* should be one of 'id_positive', 'ood_positive', got str 'id'",
        ),
        ("schema = 1", "schema = 1\nmodels = 'm'", r"'models' in .* should be a list of texts, got str 'm'"),
        ("schema = 1", "schema = 1\nmodels = ['m', 'm']", r"each model is listed once, but 'm' is there 2 times"),
        (
            'fit = "train"',
            "fit = 3",
            r"'fit' in \[roles\] of suite file .* should be a text that is not empty, got int 3",
        ),
        ('fit = "train"', 'train = "train"', r"\[roles\] of .* has the unknown key 'train'"),
        ('fit = "train"', 'fit = ""', r"'fit' .* should be a text that is not empty"),
        ('near = ["a"]', 'near = "a"', r"'near' in \[groups\] of .* should be a list of texts, got str 'a'"),
        ('near = ["a"]', 'near = ["a", "a"]', r"a set has one role, but 'a' is in near and near"),
        ('near = ["a"]', 'near = ["a", "test"]', r"a set has one role, but 'test' is in test and near; keep it in one"),
        ('near = ["a"]', 'near = ["a"]\nfar = []', r"the group 'far' lists no set"),
        ('near = ["a"]', 'Near = ["a"]', r"a group's name is made of a-z, 0-9 and '-' and is no role, got 'Near'"),
        ('near = ["a"]', 'near = ["mean", "a"]\n[sets.mean]', r"'mean' is reserved for averages"),
        (
            'near = ["a"]',
            'near = ["a", "b"]',
            r"refers to the set 'b', but nothing describes it; add a \[sets.b\] table",
        ),
        ('near = ["a"]', "", r"describes the set 'a', but gives it no role"),
        (
            "[sets.a]",
            "[sets.a]\ncount = 0",
            r"'count' in \[sets.a\] of suite file .* whole number of at least 1, got int 0",
        ),
        ("[sets.a]", "[sets.a]\ncount = true", r"at least 1, got bool True"),
        ("[sets.a]", "[sets.a]\nlicense = 'MIT'", r"unknown key 'license' \(did you mean 'licence'\?\)"),
        ("[sets.a]", "[sets.a]\nlist_sha256 = 'ab'", r"should be 64 lower-case hexadecimal digits, got str 'ab'"),
        ("[sets.a]", "\n[sets]\na = 1", r"'a' in \[sets\] of suite file .* should be a table, got int 1"),
        ("[sets.a]", "[sets.a", r"small.toml should be a TOML file, but it cannot be read"),
        (
            "[sets.a]",
            "[sets.a]\n[[published]]\ntable = '1'",
            r"\[\[published\]\] number 1 of .* needs the key 'scorer'",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_name(place: Home, line: str, instead: str, message: str) -> None:
    assert line in SMALL
    path = keep(place, SMALL.replace(line, instead))
    with pytest.raises(RequestError, match=message):
        parse_suite(path, place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"set": "zz"}, r"no set of .* is named 'zz'"),
        ({"group": "middle"}, r"no group of .* is named 'middle'"),
        ({"set": "a", "group": "near"}, r"should give a set or a group, got both 'a' and 'near'"),
        ({"metric": "fpr95"}, r"prints 'fpr95', so it needs an orientation: id_positive or ood_positive"),
        ({"value": 99.3}, r"'value' in .* should be a text that is not empty, got float 99.3"),
    ],
)
def test_a_published_figure_must_say_what_it_is(place: Home, change: dict[str, object], message: str) -> None:
    figure = {"table": "1", "scorer": "msp", "model": "m", "metric": "auroc", "value": "99.3"} | change
    lines = "\n".join(f"{key} = {value!r}" for key, value in figure.items())
    path = keep(place, f"{SMALL}\n[[published]]\n{lines}\n")
    with pytest.raises(RequestError, match=message):
        parse_suite(path, place)


def test_a_suite_without_sets_is_refused(place: Home) -> None:
    with pytest.raises(RequestError, match="needs at least one set in a role or group, got none"):
        parse_suite(keep(place, 'schema = 1\nname = "small"\n'), place)


def test_a_set_file_of_another_name_is_refused(place: Home) -> None:
    (place.root / "sets").mkdir(parents=True)
    (place.root / "sets" / "a.toml").write_text('schema = 1\nname = "b"\n')
    path = keep(place, SMALL.replace("[sets.a]", ""))
    with pytest.raises(RequestError, match=r"a.toml should describe the set 'a', but names it 'b'"):
        parse_suite(path, place)


def test_an_unknown_suite_lists_what_there_is(place: Home) -> None:
    keep(place, SMALL)
    with pytest.raises(RequestError, match=r"no suite is named 'smal' \(did you mean 'small'\?\); there are: .*small"):
        load_suite("smal", place)


def test_what_an_interrupted_write_leaves_is_not_a_suite(place: Home) -> None:
    keep(place, SMALL)
    (place.suites / ".half.toml").write_text("schema = ")
    assert [suite.name for suite in list_suites(place) if suite.origin == "home"] == ["small"]
    assert set(shipped.files_by_stem(place.suites)) == {"small"}


def test_every_shipped_suite_reads(place: Home) -> None:
    assert all(suite.origin == "shipped" for suite in list_suites(place))


def test_suites_do_not_import_torch() -> None:
    code = "import ood_bench.suites, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_ood_validation_set_is_a_role_of_its_own(tmp_path: Path) -> None:
    home = Home(tmp_path)
    suite = Suite(
        name="mine",
        source=tmp_path / "suites" / "mine.toml",
        origin="home",
        label_space="mine",
        val="a",
        test="b",
        val_ood=("c", "d"),
        groups={"far": ("e",)},
        sets={name: SetSpec(name) for name in "abcde"},
    )
    write_suite(home, suite)
    kept = load_suite("mine", home)
    assert kept.val_ood == ("c", "d")
    assert kept.members == (("val", "a"), ("test", "b"), ("val_ood", "c"), ("val_ood", "d"), ("far", "e"))
    assert suite_toml(kept) == suite_toml(suite)
    both = replace(suite, val_ood=("c", "e"))
    with pytest.raises(RequestError, match="a set has one role, but 'e' is in val_ood and far"):
        write_suite(home, both)
