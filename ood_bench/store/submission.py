"""A submission: the records and scores behind a suite's rows, in a folder or a .zip that any store can read.

It is laid out as a home, and holds nothing that a person could have typed: rows are computed from it by whoever takes
it. Names of hosts are left out. Equal records give equal files.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import cast

from ood_bench.canonical import sha256_of_file
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.files import read_json, write_atomically, write_bytes, write_json
from ood_bench.home import Home
from ood_bench.store.records import Provenance
from ood_bench.store.row import Row
from ood_bench.store.store import Store
from ood_bench.suites import Suite, parse_suite, suite_toml

FILE = "submission.json"
SCHEMA = 1

_ALLOWED = re.compile(
    r"submission\.json|records/[0-9a-f]{2}/[0-9a-f]{64}(\.json|\.[0-9a-f]{8}\.safetensors)"
    r"|outcomes/[0-9a-f]{2}/[0-9a-f]{64}\.safetensors|suites/[a-z0-9-]+\.toml"
)
_LARGEST = 1 << 36  # bytes that a .zip may unfold to


def write_submission(store: Store, suite: Suite, rows: Iterable[Row], out: Path) -> int:
    """Write the records and scores that `rows` rest on to `out` (a .zip, or a folder); returns how many records.

    Every score's hash is verified on the way.
    """
    if out.exists():
        raise RequestError(f"a submission is written to a new place, but {out} is there already; remove it first")
    of_rows = [(row, source) for row in rows for source in row.sources]
    sources, tuned = {s.record: s for _, s in of_rows}, {s.record: row.tuned_on for row, s in of_rows}
    if not sources:
        raise RequestError(f"a submission needs rows with numbers, and suite {suite.name} has none; run it first")
    with tempfile.TemporaryDirectory(prefix="ood-bench-") as name:
        place = Store(Home(Path(name)))
        for source in sources.values():
            record = store.get(source.record)
            if record is None:
                raise IntegrityError(f"the record {source.record} of set {source.set} is not in {store.home.root}")
            where = tuple(cast(Provenance, {**entry, "host": ""}) for entry in record.provenance)
            # that a value was tuned stands in the run, which stays here
            place.put(replace(record, provenance=where, tuned_on=tuned[source.record]), store.scores(record))
        for bank in {source.bank_sha256 for source in sources.values()}:
            outcomes = store.outcomes(bank)
            if outcomes is not None:
                place.put_outcomes(bank, *outcomes)
        (place.home.root / "suites").mkdir()
        (place.home.suites / f"{suite.name}.toml").write_text(suite_toml(suite), encoding="utf-8")
        files = _files(place.home.root)
        contents = {path: sha256_of_file(place.home.root / path) for path in files}
        write_json(place.home.root / FILE, {"schema": SCHEMA, "suite": suite.name, "contents": contents})
        _pack(place.home.root, [FILE, *files], out)
    return len(sources)


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The store inside a submission, whose files have been held against its list of contents."""
    if path.is_dir():
        _verify(path)
        yield Store(Home(path))
        return
    with tempfile.TemporaryDirectory(prefix="ood-bench-") as name:
        _unpack(path, Path(name))
        _verify(Path(name))
        yield Store(Home(Path(name)))


def suite_of(store: Store) -> Suite:
    """The suite as the submission describes it."""
    about = read_json(store.home.root / FILE, "a submission's list of contents")
    return parse_suite(store.home.suites / f"{about.get('suite')}.toml", store.home)


def merged(stores: Sequence[Store], suite: Suite, rows: Sequence[Row], out: Path) -> None:
    """Write the records behind `rows`, wherever among the stores they are, as one submission in place of `out`."""
    with tempfile.TemporaryDirectory(prefix="ood-bench-") as name:
        both = Store(Home(Path(name) / "home"))
        for store in stores:
            copy_records(store, both)
        made = Path(name) / f"made{out.suffix}"
        write_submission(both, suite, [row for row in rows if _is_held(both, row)], made)
        write_bytes(out, made.read_bytes())


def copy_records(source: Store, target: Store) -> tuple[int, int]:
    """Put every record (with its scores) and outcome of one store into another: (new, there already)."""
    counts = {"new": 0, "same": 0}
    banks = set()
    for record in source.records():
        counts[target.put(record, source.scores(record))] += 1
        banks.add(record.key.bank_sha256)
    for bank in sorted(banks):
        outcomes = source.outcomes(bank)
        if outcomes is not None:
            target.put_outcomes(bank, *outcomes)
    return counts["new"], counts["same"]


def _is_held(store: Store, row: Row) -> bool:
    return bool(row.sources) and all(store.get(source.record) is not None for source in row.sources)


def _files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path.name != FILE)


def _pack(root: Path, files: Sequence[str], out: Path) -> None:
    if out.suffix != ".zip":
        for name in files:
            write_bytes(out / name, (root / name).read_bytes())
        return

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in files:
                archive.writestr(_dateless(name), (root / name).read_bytes())

    write_atomically(out, write)


def _dateless(name: str) -> zipfile.ZipInfo:
    """An entry without a date, so that equal contents give equal archives."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries:
                if not _ALLOWED.fullmatch(entry.filename):
                    raise IntegrityError(f"{path} should hold records, scores and a suite only, got {entry.filename!r}")
            if sum(entry.file_size for entry in entries) > _LARGEST:
                raise IntegrityError(f"{path} would unfold to more than {_LARGEST >> 30} GiB; it was not unfolded")
            for entry in entries:
                target = folder / PurePosixPath(entry.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
    except OSError as error:
        raise RequestError(f"a submission should be at {path}, but it cannot be read: {error}") from error
    except zipfile.BadZipFile as error:
        raise IntegrityError(f"{path} should be a whole .zip written by leaderboard submit, got {error}") from error


def _verify(root: Path) -> None:
    """Every listed file is there with its hash, and nothing else."""
    about = read_json(root / FILE, "a submission's list of contents")
    if about.get("schema") != SCHEMA or not isinstance(about.get("contents"), dict):
        raise IntegrityError(
            f"{root / FILE} should list contents under schema {SCHEMA}, got {json.dumps(about)[:80]}; install a newer "
            "ood-bench if it was made by one"
        )
    listed: dict[str, str] = about["contents"]
    found = [name for name in _files(root) if not name.startswith("derived/")]
    for name in sorted({*listed, *found}):
        if not _ALLOWED.fullmatch(name):
            raise IntegrityError(f"{root} should hold records, scores and a suite only, got {name!r}")
        if name not in listed or name not in found:
            state = "is listed but not there" if name in listed else "is there but not listed"
            raise IntegrityError(f"a submission should hold what it lists, but {name} {state}")
        if sha256_of_file(root / name) != listed[name]:
            raise IntegrityError(f"{name} should have the sha256 {listed[name]}, but it was changed after submission")
