"""Unpacks zip and tar archives, and refuses one whole archive for a single entry that would leave the folder."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from ood_bench.errors import IntegrityError, RequestError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


def is_archive(path: Path) -> bool:
    return path.name.endswith(ENDINGS)


def unpack(archive: Path, into: Path) -> int:
    """Unpack everything below `into` and return the number of files. Every entry is looked at before any is written."""
    try:
        if archive.name.endswith(".zip"):
            return _zip(archive, into)
        return _tar(archive, into)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise IntegrityError(f"{archive} cannot be unpacked ({error}); remove it and fetch it again") from error


def safe_entry(name: str) -> bool:
    """Whether a relative path stays below the folder that it is joined to, on any system."""
    if not name or "\x00" in name or "\\" in name:
        return False
    path = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ":"
    return not path.is_absolute() and not drive and ".." not in path.parts


def _zip(archive: Path, into: Path) -> int:
    with zipfile.ZipFile(archive) as opened:
        entries = [entry for entry in opened.infolist() if not entry.is_dir()]
        for entry in entries:
            is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
            _check(archive, entry.filename, "link" if is_link else "")
        for entry in entries:
            with opened.open(entry) as source:
                _write(source, into / entry.filename)
    return len(entries)


def _tar(archive: Path, into: Path) -> int:
    with tarfile.open(archive) as opened:
        entries = opened.getmembers()
        for entry in entries:
            _check(archive, entry.name, "" if entry.isfile() or entry.isdir() else "link or device")
        files = [entry for entry in entries if entry.isfile()]
        for entry in files:
            source = opened.extractfile(entry)
            assert source is not None
            with source:
                _write(source, into / entry.name)
    return len(files)


def _check(archive: Path, name: str, kind: str) -> None:
    if kind or not safe_entry(name.removeprefix("./") or "."):
        what = f"is a {kind}" if kind else "would be written outside the folder"
        raise RequestError(
            f"{archive} holds the entry {name!r}, which {what}; nothing was unpacked: get the archive from its publisher"
        )


def _write(source, target: Path) -> None:  # type: ignore[no-untyped-def]  # any readable stream of bytes
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
