"""The benchmark table of the README is the committed result, no more and no less."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`benchmarks/readme.py`; benchmarks are run from a checkout and are not installed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    return importlib.import_module("benchmarks.readme")


def test_the_readme_shows_the_committed_result(readme: ModuleType) -> None:
    _, _, rest = readme.README.read_text().partition(readme.BEGIN)
    shown, _, after = rest.partition(readme.END)
    assert after, "the README has no benchmark table"
    assert shown == readme.lines(json.loads(readme.RESULT.read_text())), "run: python -m benchmarks.readme"


def test_a_committed_result_names_no_folder_and_was_made_of_a_commit(readme: ModuleType) -> None:
    files = list(readme.RESULT.parent.glob("*.json"))
    assert readme.RESULT in files
    for file in files:
        found = json.loads(file.read_text())
        assert "/" not in found["command"], file.name
        assert found["machine"]["processor"], file.name
        assert not found["commit"].endswith("-dirty"), f"{file.name} was measured with uncommitted changes"
