"""Make the leaderboards of this folder anew, from what they are published from.

    python leaderboards/rebuild.py                                   all three
    python leaderboards/rebuild.py cifar10-resnet20 --shared DIR     one of them, banks in DIR/data

`digits` trains its network; the other two import the banks that are handed around beside the repository, under data/.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ood_bench import api
from ood_bench.files import write_bytes
from ood_bench.home import Home
from ood_bench.importing.folder import import_folder
from ood_bench.runner import every_spec
from ood_bench.store.leaderboard import export, identity, named
from ood_bench.store.merging import SCORES
from ood_bench.store.row import FLOATS, Row
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.store.submission import write_submission
from ood_bench.suites import Suite, load_suite, suite_toml

HERE = Path(__file__).resolve().parent
DIGITS = "digits"


@dataclass(frozen=True, slots=True)
class Board:
    """A folder of banks, and the roles of its sets. No set is taken for validation: what needs one says so."""

    model: str
    fit: str
    test: str
    near: tuple[str, ...]
    far: tuple[str, ...]


BOARDS = {
    "mnist-oe-baseline": Board(
        model="mnist-convnet",
        fit="train",
        test="test",
        near=("notmnist", "fashionmnist", "kmnist105"),
        far=("omniglot", "cifar10_gray", "negative_mnist"),
    ),
    # imagenet1k and some classes of tinyimagenet overlap CIFAR-10; the first is left out, the second is near
    "cifar10-resnet20": Board(
        model="cifar10-resnet20",
        fit="train_jpeg",
        test="test_jpeg",
        near=("tinyimagenet",),
        far=("mnist", "notmnist", "fashionmnist", "omniglot", "textures"),
    ),
}
NAMES = (DIGITS, *BOARDS)

# What a rebuild on another day or machine changes without being wrong.
INCIDENTAL = frozenset({"fit_seconds", "score_seconds", "device", "date", "ood_bench_version"})
HASHES = frozenset({"inputs_sha256", "scores_sha256"})


def results(name: str, home: Home, shared: Path, scorers: str | Sequence[str] = "all") -> tuple[Suite, list[Row]]:
    """Run a leaderboard's suite in `home` and return its rows with their intervals."""
    if name == DIGITS:
        done = api.run(DIGITS, scorers=scorers, home=home.root, device="cpu")
    else:
        board = BOARDS[name]
        import_folder(
            home,
            shared / "data" / name,
            model=board.model,
            suite=name,
            fit=board.fit,
            test=board.test,
            near=board.near,
            far=board.far,
        )
        done = api.run(name, board.model, scorers, home=home.root, device="cpu")
    suite = load_suite(name, home)
    return suite, rows_of(Store(home), suite, run=done.run, intervals=True)


def shipped_specs() -> list[str]:
    """What a row of each shipped scorer is called; a rectifier's is its composition with the energy score."""
    return [str(spec.name) for spec in every_spec() if spec.origin == "ours"]


def write(suite: Suite, rows: Sequence[Row], store: Store, folder: Path) -> list[Path]:
    """Write the table and its records; of `digits`, which is small, the scores too; of other suites what they are."""
    paths = export(rows, folder)
    if suite.name == DIGITS:
        scores = folder / f"{suite.name}{SCORES}"
        scores.unlink(missing_ok=True)
        write_submission(store, suite, [row for row in rows if row.origin == "ours"], scores)
        return [*paths, scores]
    described = folder / "suites" / f"{suite.name}.toml"
    write_bytes(described, suite_toml(suite).encode())
    return [*paths, described]


def differences(published: Sequence[Row], rebuilt: Sequence[Row], tolerance: float, *, same: bool = True) -> list[str]:
    """Rows of `rebuilt` whose data are not those published, within `tolerance` for numbers.

    With `same`=False only numbers count: another training of the network has other parameters and hashes.
    """
    known = {identity(row)[:4] + identity(row)[4 if same else 5 :]: row for row in published}
    found = []
    for row in rebuilt:
        there = known.get(identity(row)[:4] + identity(row)[4 if same else 5 :])
        if there is None:
            found.append(f"{named(row)}: not among the published rows")
            continue
        for column, value in row.columns().items():
            was = getattr(there, column)
            if column in INCIDENTAL or column in HASHES or (not same and column not in FLOATS):
                continue
            both = isinstance(value, float) and isinstance(was, float)
            if (both and abs(value - was) > tolerance) or (not both and value != was):
                found.append(f"{named(row)}: {column} was {was}, is {value}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)} [default: all]")
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared", metavar="DIR")
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    given = parser.parse_args()
    for name in given.names or NAMES:
        if name not in NAMES:
            parser.error(f"no leaderboard is named {name!r}; there are: {', '.join(NAMES)}")
        with tempfile.TemporaryDirectory(prefix="ood-bench-") as folder:
            home = Home(Path(folder))
            suite, rows = results(name, home, given.shared)
            for path in write(suite, rows, Store(home), given.out):
                sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
