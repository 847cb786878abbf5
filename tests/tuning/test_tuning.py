"""Tuning: chosen on validation alone, apart from default and oracle; all values share the work; tables keep them apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import problem

from ood_bench import batch, neighbours
from ood_bench.cli import main
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.metrics.ood import auroc
from ood_bench.profiles import load_profile
from ood_bench.registry import load_all
from ood_bench.specs import parse_spec
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.store.tuned import tunings_of
from ood_bench.suites import load_suite
from ood_bench.tuning import Tuned, parse_grid, specs_of, tune


def import_problem(folder: Path, home: Home, **changes: Any) -> None:
    """A small problem as a suite with an OOD validation set of another kind than the test sets."""
    given = problem(3, d=16, k=5, n_fit=150, n=50)
    rng = np.random.default_rng(8)
    folder.mkdir()
    for name, (features, logits, labels) in given.sets.items():
        np.savez(folder / f"{name}.npz", features=features.astype("f4"), logits=logits.astype("f4"), labels=labels)
    for name, centre in (("held", 0.2), ("other", 1.0)):
        features = np.maximum(rng.normal(centre, 1.0, (40, 16)), 0)
        np.savez(folder / f"{name}.npz", features=features.astype("f4"))
    np.savez(folder / "head.npz", W=given.weight.astype("f4"), b=given.bias.astype("f4"))
    roles = {"fit": "fit", "val": "val", "test": "test", "near": ["ood"], "far": ["other"], "val_ood": ["held"]}
    import_folder(home, folder, model="net", suite="mine", **(roles | changes))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    import_problem(tmp_path / "tensors", place)
    return place


def tuned(home: Home, scorers: str | list[str], grid: str | dict[str, tuple[str, ...]]) -> Tuned:
    return tune(scorers, grid, suite="mine", model="net", device="cpu", memory=1 << 28, home=home.root)


def test_the_suite_names_the_ood_validation_set(home: Home) -> None:
    suite = load_suite("mine", home)
    assert suite.val_ood == ("held",)
    assert suite.role_of("held") == "val_ood"
    assert suite.is_ood("val_ood")
    assert suite.is_ood("near")
    assert not suite.is_ood("val")


def test_selected_by_the_first_best_auroc_on_validation(home: Home) -> None:
    ks = (1, 5, 20, 50, 150)
    done = tuned(home, "knn", {"k": tuple(map(str, ks))})
    (tuning,) = done.tunings
    store = Store(home)
    records = {
        (record.spec, record.set): store.scores(record) for key in done.run.records if (record := store.get(key))
    }

    def of(k: int, inside: str, outside: str) -> float:
        spec = "knn:k=" + str(k)
        return auroc(records[spec, inside], records[spec, outside])

    validation = [of(k, "val", "held") for k in ks]
    on_test = [(of(k, "test", "ood") + of(k, "test", "other")) / 2 for k in ks]
    assert [point.validation for point in tuning.points] == pytest.approx(validation, abs=1e-12)
    assert tuning.selected == int(np.argmax(validation))
    assert tuning.oracle == int(np.argmax(on_test))
    assert tuning.points[tuning.default or 0].spec == "knn:k=50"
    assert tuning.tuned_on == "val against held"


def test_a_default_off_the_grid_is_shown_and_never_selected(home: Home) -> None:
    (tuning,) = tuned(home, "knn", {"k": ("1", "150")}).tunings
    assert [point.spec for point in tuning.points] == ["knn:k=1", "knn:k=150", "knn:k=50"]
    assert tuning.default == 2
    assert tuning.selected in (0, 1)
    assert tuning.oracle in (0, 1)


def test_values_that_mean_the_same_here_are_one_point(home: Home) -> None:
    (tuning,) = tuned(home, "gen", {"m": ("2", "5", "50", "100")}).tunings
    assert [point.params["m"] for point in tuning.points] == [2, 5]


def test_the_run_keeps_the_curve_and_tables_keep_it_apart(home: Home) -> None:
    done = tuned(home, "knn", {"k": ("1", "5", "50", "150")})
    store, suite = Store(home), load_suite("mine", home)
    (kept,) = tunings_of(store.run(done.run.id))
    assert [point["spec"] for point in kept["curve"]] == ["knn:k=1", "knn:k=5", "knn:k=50", "knn:k=150"]
    selected = done.tunings[0].points[done.tunings[0].selected or 0]
    rows = rows_of(store, suite)
    assert {(json.loads(row.params or "{}")["k"], row.tuned_on) for row in rows} == {
        (selected.params["k"], "val against held")
    }
    assert {row.tuned_on for row in done.rows} == {None, "val against held"}
    assert "held" not in {row.set for row in rows}


def test_what_a_run_asked_for_by_name_is_an_ordinary_row(home: Home) -> None:
    tuned(home, "knn", {"k": ("1", "5", "150")})
    main_code = run_cli(["run", "--suite", "mine", "--model", "net", "--scorer", "knn:k=150", "--home", str(home.root)])
    assert main_code == 0
    rows = rows_of(Store(home), load_suite("mine", home))
    assert (150, None) in {(json.loads(row.params or "{}")["k"], row.tuned_on) for row in rows}


def run_cli(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)


def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[Any, ...]]:
    """Every call of a function from now on, which still does its work."""
    calls: list[tuple[Any, ...]] = []
    inner: Callable[..., Any] = getattr(owner, name)

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return inner(*arguments, **options)

    monkeypatch.setattr(owner, name, counted)
    return calls


@pytest.mark.parametrize(
    ("scorer", "grid", "owner", "name"),
    [
        ("vim", {"dim": ("2", "4", "8", "12")}, torch.linalg, "eigh"),
        ("residual", {"dim": ("2", "4", "8", "12")}, torch.linalg, "eigh"),
        ("knn", {"k": ("1", "5", "20", "50", "150")}, neighbours, "search"),
        ("gen", {"m": ("2", "3", "4"), "gamma": ("0.1", "1.0")}, batch, "largest"),
        ("logitgap", {"n": ("2", "3", "4")}, batch, "largest"),
    ],
)
def test_all_values_share_the_work(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    scorer: str,
    grid: dict[str, tuple[str, ...]],
    owner: Any,
    name: str,
) -> None:
    """One decomposition, search or sort for all values: as many as for one of them."""
    calls = counting(monkeypatch, owner, name)
    tuned(home, scorer, {key: values[-1:] for key, values in grid.items()})
    alone = len(calls)
    calls.clear()
    for file in (home.root / "records").rglob("*.json"):
        file.unlink()
    tuned(home, scorer, grid)
    assert 0 < len(calls) <= alone


def test_the_passes_over_the_fit_set_do_not_grow_with_the_values(home: Home) -> None:
    asked = tuned(home, "vim", {"dim": ("2", "4", "8", "12")}).run.seconds
    assert asked is not None
    passes = asked["fit"]
    assert isinstance(passes, list)
    moments = [one for one in passes if one["question"].startswith("Moments")]
    assert len(moments) == 1
    assert len(moments[0]["used_by"]) == 4


def test_openoods_grids_start_from_its_profile(home: Home) -> None:
    done = tuned(home, ["react", "gen"], "openood")
    react, gen = done.tunings
    assert react.scorer == "react:q=0.9+energy:fit=val"
    assert [point.params["react.q"] for point in react.points] == [0.85, 0.9, 0.95, 0.99]
    assert [(point.params["gamma"], point.params["m"]) for point in gen.points][:2] == [(0.01, 5), (0.1, 5)]
    with pytest.raises(RequestError, match=r"no grid of profile openood-v1\.5 is named 'entropy'"):
        tuned(home, "entropy", "openood")


def test_every_grid_of_the_profile_can_be_written() -> None:
    load_all()
    profile = load_profile("openood-v1.5")
    for name, grid in profile.grids.items():
        assert len(specs_of(profile.specs[name], grid)) == np.prod([len(values) for values in grid.values()])


def test_a_value_that_cannot_be_scored_has_its_reason(home: Home) -> None:
    (tuning,) = tuned(home, "vim", {"dim": ("4", "16")}).tunings
    assert tuning.points[1].validation is None
    assert "needs 0 < dim < 16" in str(tuning.points[1].reason)
    assert tuning.selected == 0
    (nothing,) = tuned(home, "vim", {"dim": ("16", "17")}).tunings
    assert nothing.selected is None


def test_without_validation_sets_there_is_no_tuning(tmp_path: Path) -> None:
    place = Home(tmp_path / "one")
    import_problem(tmp_path / "tensors", place, val_ood=[])
    with pytest.raises(RequestError, match=r"suite mine names none; name one with --val-ood"):
        tuned(place, "knn", {"k": ("1",)})
    place = Home(tmp_path / "two")
    import_problem(tmp_path / "again", place, val=None)
    with pytest.raises(RequestError, match=r"suite mine names no val set; name one with --val"):
        tuned(place, "knn", {"k": ("1",)})


def test_combinations_and_parts() -> None:
    load_all()
    specs = specs_of(parse_spec("react+vim"), {"react.q": ("0.8", "0.9"), "dim": ("3", "4")})
    assert [str(spec) for spec in specs] == [
        "react:q=0.8+vim:dim=3",
        "react:q=0.8+vim:dim=4",
        "react:q=0.9+vim:dim=3",
        "react:q=0.9+vim:dim=4",
    ]
    assert str(specs_of(parse_spec("klm:fit=val"), {})[0]) == "klm:fit=val"
    with pytest.raises(RequestError, match=r"no parameter of react\+vim is named 'k'.*react\.q"):
        specs_of(parse_spec("react+vim"), {"k": ("1",)})


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["k="], "takes name=value,value"),
        (["k=1", "k=2"], "--grid k is given twice"),
        ([], "needs a grid"),
        (["k=1", "openood"], "takes name=value,value"),
    ],
)
def test_grids_that_make_no_sense(texts: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_grid(texts)


def test_the_command(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", "--scorer", "knn", "--grid", "k=1,5,50", "--suite", "mine", "--model", "net", "--device", "cpu"]
    words += ["--home", str(home.root)]
    assert run_cli([*words, "--plot", str(tmp_path / "curve.svg")]) == 0
    shown = capsys.readouterr().out
    assert "chosen by AUROC on val against held" in shown
    assert "oracle (best on the test sets: not a result)" in shown
    assert "tuned on val against held" in shown
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")
    assert run_cli([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [point["params"]["k"] for point in answer["tunings"][0]["curve"]] == [1, 5, 50]
    assert {row["tuned_on"] for row in answer["rows"]} == {None, "val against held"}
    assert run_cli([*words, "--plot", str(tmp_path / "curve.gif")]) == 2
