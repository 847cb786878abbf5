"""Answers and what shows them: kept once, checked, rendered, drawn and published."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from store_cases import PROVENANCE
from support import problem

from ood_bench import api
from ood_bench.cli import main
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.store.store import Store
from ood_bench.suites import load_suite
from ood_bench.tasks.answers import Answer, AnswerKey, Answers
from ood_bench.tasks.catalogue import TASKS, get_task
from ood_bench.tasks.figures import figure
from ood_bench.tasks.publish import export_tasks
from ood_bench.tasks.render import render_task, to_csv
from ood_bench.tasks.row import TaskRow
from ood_bench.tasks.selective import SELECTIVE
from ood_bench.tasks.task import Asked

GIVEN = problem(2, n=150)


def answer(value: float) -> Answer:
    key = AnswerKey(task="accuracy", method="doc", version="1", params={}, bank_sha256="0" * 64)
    return Answer(
        key=key,
        spec="doc",
        model="net",
        model_seed=None,
        set="a",
        n=3,
        values={"estimate": value},
        provenance=PROVENANCE,
    )


def test_an_answer_is_kept_once(tmp_path: Path) -> None:
    answers = Answers(Home(tmp_path))
    answers.put(answer(0.5))
    answers.put(answer(0.5 + 1e-7))
    with pytest.raises(IntegrityError, match=r"estimate is 0.6 where 0.5 is stored"):
        answers.put(answer(0.6))
    path = next((tmp_path / "tasks").glob("*/*.json"))
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "key": {**data["key"], "version": "2"}}))
    with pytest.raises(IntegrityError, match="was edited or renamed"):
        answers.get(answer(0.5).key.sha256)
    path.write_text(json.dumps({**data, "schema": 99}))
    with pytest.raises(IntegrityError, match="schema from 1 to 1, got 99"):
        answers.get(answer(0.5).key.sha256)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with one suite of two checkpoints, every task answered."""
    root = tmp_path_factory.mktemp("place")
    folder, home = root / "tensors", Home(root / "home")
    folder.mkdir()
    np.savez(folder / "head.npz", W=GIVEN.weight.astype(np.float32), b=GIVEN.bias.astype(np.float32))
    rng = np.random.default_rng(0)
    arrays = {name: (GIVEN.features(name), GIVEN.labels(name)) for name in ("fit", "val", "test", "ood")}
    for family in ("blur", "noise"):
        for severity in (1, 2):
            moved = GIVEN.features("test") + rng.normal(0, 0.8 * severity, GIVEN.features("test").shape)
            arrays[f"{family}-{severity}"] = moved, GIVEN.labels("test")
    for name, (features, labels) in arrays.items():
        np.savez(folder / f"{name}.npz", features=features.astype(np.float32), labels=labels)
    shifted = ["blur-1", "blur-2", "noise-1", "noise-2"]
    for seed in (0, 1):
        import_folder(
            home, folder, model="toy", suite="mine", model_seed=seed, fit="fit", val="val", test="test", far=["ood"],
            shifted=shifted,
        )  # fmt: skip
        api.run("mine", "toy", ["msp", "energy"], model_seed=seed, home=home.root, device="cpu")
    return home


def test_every_task_is_published(place: Home, tmp_path: Path) -> None:
    store, suite = Store(place), load_suite("mine", place)
    paths = export_tasks(store, suite, tmp_path)
    assert [path.name for path in paths] == [f"mine.{name}.csv" for name in TASKS if name != "abstention"]
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in export_tasks(store, suite, tmp_path)] == first
    with paths[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["scorer"] for row in rows} == {"msp", "energy"}
    assert all(0 <= float(row["aurc"]) <= 1 for row in rows)


def test_agreement_compares_the_other_checkpoint(place: Home) -> None:
    """The first run had no second checkpoint and says so; the second compares with the first, which is its equal."""
    rows = get_task("accuracy").rows(Asked(Store(place), load_suite("mine", place), methods=("agreement",)))
    by_seed = {row.model_seed: row for row in rows}
    assert by_seed[0].status == "skipped"
    assert "run the suite first with another checkpoint" in (by_seed[0].reason or "")
    assert by_seed[1].reason == "the estimate is the same on every set, so nothing correlates"


def test_a_run_shows_its_own_answers(place: Home, capsys: pytest.CaptureFixture[str]) -> None:
    api.run("mine", "toy", model_seed=0, tasks="accuracy", estimators=("nuclear",), home=place.root, device="cpu")
    last = list(Store(place).runs())[-1]
    with pytest.raises(SystemExit) as left:
        main(["table", "--run", last.id, "--task", "accuracy", "--home", str(place.root), "--json"])
    assert left.value.code == 0
    document = json.loads(capsys.readouterr().out)["tasks"]["accuracy"]
    assert {row["estimator"] for row in document["rows"]} == {"nuclear"}
    assert len(document["points"]) == 5
    everything = get_task("accuracy").rows(Asked(Store(place), load_suite("mine", place)))
    assert len({row.method for row in everything}) > 10  # the earlier run's answers still count


@pytest.mark.parametrize("task", ["accuracy", "calibration", "selective"])
def test_figures_are_well_formed(place: Home, task: str) -> None:
    drawn = figure(get_task(task), Asked(Store(place), load_suite("mine", place)))
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert (
        len(list(root.iter("{http://www.w3.org/2000/svg}polyline")))
        + len(list(root.iter("{http://www.w3.org/2000/svg}circle")))
        > 5
    )


def test_a_figure_of_nothing_is_refused(place: Home) -> None:
    with pytest.raises(RequestError, match="a figure is drawn for accuracy, calibration, selective, got scod"):
        figure(get_task("scod"), Asked(Store(place), load_suite("mine", place)))


def test_a_short_table_says_that_it_is_short() -> None:
    plain = {"suite": "s", "model": "m", "set": "test", "group": "test"}
    rows = [TaskRow(**plain, method=f"m{i}", spec=f"m{i}", values={"aurc": i / 10}) for i in range(4)]  # type: ignore[arg-type]
    rows.append(TaskRow(**plain, method="x", spec="x", status="skipped", reason="needs a head"))  # type: ignore[arg-type]
    short = render_task(SELECTIVE, rows, top=2)
    assert "m1" in short
    assert "m2 " not in short
    assert "needs a head" not in short
    assert "ood-bench table --task selective" in short
    assert "needs a head" in render_task(SELECTIVE, rows)


@pytest.mark.parametrize("fmt", ["text", "markdown", "latex", "html", "csv"])
def test_hostile_names_are_harmless(fmt: str) -> None:
    name = "=cmd|<script>\x1b[31m"
    row = TaskRow(suite="s", model=name, method=name, spec=name, set="test", group="test", n=3, values={"aurc": 0.25})
    shown = render_task(SELECTIVE, [row], fmt=fmt)  # type: ignore[arg-type]  # a parameter of the test
    assert "\x1b" not in shown or fmt == "csv"
    assert "<script>" not in shown or fmt in ("text", "latex", "csv")
    if fmt == "csv":
        assert "'=cmd" in shown
        assert "0.250000" in to_csv(SELECTIVE, [row])
    else:
        assert "25.00" in shown
