"""Mistakes that used to pass in silence: a scorer that ranks nothing, a filter that matches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

CONSTANT = """
from dataclasses import dataclass
from ood_bench import scorer


@scorer("constant-one")
@dataclass(frozen=True)
class Own:
    '''The same for all.'''

    def score(self, batch):
        return batch.max_logit * 0
"""


def test_a_constant_scorer_is_an_error_of_that_scorer_and_exits_1(command: Any, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(CONSTANT)
    request = (
        "run",
        "--task",
        "ood",
        "--suite",
        "mine",
        "--plugin",
        file,
        "--scorer",
        "constant-one",
        "--scorer",
        "msp",
    )
    done = command(*request)
    assert "ranks nothing" in " ".join(done.out.split())
    assert done.code == 1


@pytest.mark.parametrize(("flag", "name"), [("--scorer", "vmi"), ("--model", "nte")])
def test_a_filter_that_matches_nothing_names_itself(command: Any, home: Path, flag: str, name: str) -> None:
    command("run", "--task", "ood", "--suite", "mine", "--scorer", "msp")
    done = command("table", "--suite", "mine", flag, name)
    assert done.code == 2
    assert name in done.err
