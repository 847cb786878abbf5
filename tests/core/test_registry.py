"""The registry: every shipped file is there, duplicates and broken files raise, plug-ins come in by three doors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ood_bench.scorers
from ood_bench import registry
from ood_bench.canonical import sha256_of_file
from ood_bench.contract import check
from ood_bench.errors import RequestError
from ood_bench.naming import NAME
from ood_bench.registry import ESTIMATORS, SCORERS, load_all, load_plugin
from ood_bench.specs import parse_spec
from ood_bench.types import REMEDIES

PLUGIN = """
from dataclasses import dataclass
from ood_bench import scorer


@scorer({name!r}, aliases={aliases!r}, version=3)
@dataclass(frozen=True)
class {cls}:
    '''The largest logit, again.'''

    scale: float = 1.0

    def score(self, batch):
        return self.scale * batch.max_logit
"""


def plugin(folder: Path, name: str, *, aliases: tuple[str, ...] = (), cls: str = "Mine", file: str = "mine.py") -> Path:
    path = folder / file
    path.write_text(PLUGIN.format(name=name, aliases=aliases, cls=cls))
    return path


def test_every_scorer_file_registers_something_and_its_name_is_the_one_on_the_command_line() -> None:
    files = {Path(entry.source) for known in (SCORERS, ESTIMATORS) for entry in known.entries.values()}
    folder = Path(ood_bench.scorers.__path__[0])
    assert {path.name for path in folder.glob("*.py")} - {"__init__.py"} == {path.name for path in files}
    for name, entry in SCORERS.entries.items():
        assert NAME.fullmatch(name), name
        assert entry.origin == "ours"
        assert entry.plugin_sha256 is None
        assert set(entry.needs) <= set(REMEDIES)
        assert entry.summary, name
        assert entry.paper, name


def test_the_scorers_of_the_issue_are_there() -> None:
    wanted = {"msp", "maxlogit", "energy", "vim", "residual", "logitgap", "logitgap-adaptive", "mano", "dcs"}
    assert wanted <= set(SCORERS.names())


def test_a_duplicate_names_both_and_changes_nothing(tmp_path: Path) -> None:
    before = dict(SCORERS.entries), dict(SCORERS.aliases)
    path = plugin(tmp_path, "vim")
    with pytest.raises(RequestError, match=r"two scorers want the name 'vim': ViM in .*vim\.py and Mine in .*mine\.py"):
        load_plugin(path)
    assert (SCORERS.entries, SCORERS.aliases) == before


@pytest.mark.parametrize("aliases", [("vim",), ("mds++",), ("ebo",)])
def test_an_alias_that_is_taken_is_a_duplicate_too(tmp_path: Path, aliases: tuple[str, ...]) -> None:
    path = plugin(tmp_path, "another", aliases=aliases)
    with pytest.raises(RequestError, match=f"two scorers want the name {re.escape(repr(aliases[0]))}"):
        load_plugin(path)
    assert "another" not in SCORERS.entries


def test_two_plugins_of_one_name(tmp_path: Path) -> None:
    load_plugin(plugin(tmp_path, "twice"))
    with pytest.raises(
        RequestError, match=r"two scorers want the name 'twice': Mine in .*mine\.py and Other in .*b\.py"
    ):
        load_plugin(plugin(tmp_path, "twice", cls="Other", file="b.py"))


def test_a_shipped_file_that_does_not_import_raises_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_scorer.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.setattr(ood_bench.scorers, "__path__", [*ood_bench.scorers.__path__, str(tmp_path)])
    sentence = r"scorer file ood_bench\.scorers\.broken_scorer does not import: ModuleNotFoundError: .*a_module_that"
    with pytest.raises(RequestError, match=sentence):
        load_all()


def test_a_plugin_is_known_by_name_file_and_content(tmp_path: Path) -> None:
    path = plugin(tmp_path, "my-score", aliases=("ms++",))
    (entry,) = load_plugin(path)
    assert (entry.name, entry.origin, entry.source) == ("my-score", "plugin", str(path))
    assert entry.plugin_sha256 == sha256_of_file(path)
    spec = parse_spec("ms++:scale=2")
    assert (spec.name, spec.origin, spec.plugin_sha256) == ("my-score", "plugin", entry.plugin_sha256)
    assert spec.version == f"3.{entry.plugin_sha256[:12]}"
    assert parse_spec("react+my-score").version == f"1+3.{entry.plugin_sha256[:12]}"
    assert load_plugin(path) == [entry]  # the same content again is the same plug-in


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import nothing_of_that_name", r"mine\.py does not import: ModuleNotFoundError"),
        ("def broken(:", r"mine\.py does not import: SyntaxError"),
        ("x = 1", r"mine\.py registers nothing; decorate a frozen dataclass"),
        ("@scorer('Bad Name')\n@dataclass(frozen=True)\nclass A:\n    def score(self, batch): ...", "a-z, 0-9 and -"),
        ("@scorer('thawed')\n@dataclass\nclass A:\n    def score(self, batch): ...", "expects a frozen dataclass"),
        ("@scorer('empty')\n@dataclass(frozen=True)\nclass A:\n    k: int = 1", "expects a method `score`"),
        (
            "@scorer('needy', needs=('feature',))\n@dataclass(frozen=True)\nclass A:\n    def score(self, batch): ...",
            r"no input \(in `needs` of needy\) is named 'feature' \(did you mean 'features'",
        ),
        (
            "@scorer('fits')\n@dataclass(frozen=True)\nclass A:\n    def fit(self, data): ...",
            r"`fit` may take head, info, train, val, got data",
        ),
    ],
)
def test_a_bad_plugin_is_one_sentence_and_leaves_nothing(tmp_path: Path, code: str, sentence: str) -> None:
    before = set(SCORERS.entries), set(sys.modules)
    path = tmp_path / "mine.py"
    path.write_text(f"from dataclasses import dataclass\nfrom ood_bench import scorer\n\n\n{code}\n")
    with pytest.raises(RequestError, match=sentence):
        load_plugin(path)
    assert set(SCORERS.entries) == before[0]


def test_a_plugin_that_breaks_half_way_leaves_nothing(tmp_path: Path) -> None:
    path = plugin(tmp_path, "half", aliases=("h++",))
    path.write_text(path.read_text() + "\nraise RuntimeError('the end')\n")
    with pytest.raises(RequestError, match=r"mine\.py does not import: RuntimeError: the end"):
        load_plugin(path)
    assert "half" not in SCORERS.entries
    assert "h++" not in SCORERS.aliases


def test_a_plugin_file_that_is_not_there_or_no_python(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--plugin expects a Python file, but there is none at"):
        load_plugin(tmp_path / "absent.py")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(RequestError, match=r"--plugin expects a Python file \(\.py\), got .*notes\.txt"):
        load_plugin(tmp_path / "notes.txt")


# Real distributions: what `pip install` of somebody's package leaves in site-packages. A sound one, then a broken one too.
ENTRY_POINT_SCRIPT = """
import sys
from ood_bench.registry import SCORERS, load_all
from ood_bench.errors import RequestError
sys.path.insert(0, sys.argv[1])
load_all()
entry = SCORERS.get("installed")
print(entry.name, entry.origin, entry.source, entry.plugin_sha256)
sys.path.insert(0, sys.argv[2])
try:
    load_all()
except RequestError as error:
    print("refused:", error)
"""


def test_an_installed_package_brings_its_scorers_by_entry_point_and_a_broken_one_is_named(tmp_path: Path) -> None:
    for name in ("sound", "broken"):
        information = tmp_path / name / f"{name}_scores-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-scores\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\nany = {name}_scores:Mine\n")
    module = plugin(tmp_path / "sound", "installed", file="sound_scores.py")
    (tmp_path / "broken" / "broken_scores.py").write_text("import a_module_that_is_not_there\n")
    done = subprocess.run(
        [sys.executable, "-c", ENTRY_POINT_SCRIPT, str(tmp_path / "sound"), str(tmp_path / "broken")],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first.split() == ["installed", "plugin", str(module), sha256_of_file(module)]
    assert second.startswith("refused: the scorer file broken_scores does not import: ModuleNotFoundError")


def test_a_good_plugin_keeps_the_contract_and_a_turned_sign_is_told(tmp_path: Path) -> None:
    load_plugin(plugin(tmp_path, "good-one"))
    assert {verdict.status for verdict in check("good-one")} <= {"holds", "refuses"}
    broken = [verdict for verdict in check("good-one:scale=-1") if verdict.status == "broken"]
    assert [verdict.rule for verdict in broken] == ["higher = more in-distribution, on an easy problem"]
    assert "is the sign turned?" in broken[0].detail
