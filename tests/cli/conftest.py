"""The command line in this process, a home with an imported suite, and no plug-in left behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from npz_folder import FLAGS, write_folder
from shipped_scorers import shipped_scorers

from ood_bench.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and its two streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture(autouse=True)
def _shipped_scorers_alone() -> Iterator[None]:
    with shipped_scorers():
        yield


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """`command("run", "--task", "ood", "--suite", "mine")` runs `ood-bench run --suite mine`."""

    def call(*arguments: str | Path) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        code = exit_.value.code
        assert isinstance(code, int)
        return Done(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of .npz files, to be read only."""
    return write_folder(tmp_path_factory.mktemp("tensors"))


@pytest.fixture(scope="session")
def imported(tensors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the suite `mine` of the model `net`, to be copied."""
    home = tmp_path_factory.mktemp("imported") / "home"
    with pytest.raises(SystemExit) as exit_:
        main(["import", str(tensors), "--model", "net", "--suite", "mine", *FLAGS, "--home", str(home)])
    assert exit_.value.code == 0
    return home


@pytest.fixture
def home(imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which commands use by default."""
    shutil.copytree(imported, tmp_path / "home")
    monkeypatch.setenv("OOD_BENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
