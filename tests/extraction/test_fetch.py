"""Downloads against a server on this machine that misbehaves, and archives that would leave their folder."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.fetch import fetch
from ood_bench.unpack import safe_entry, unpack

BODY = bytes(range(256)) * 400
SHA = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves BODY; the path says how it misbehaves. `asked` are the requests, with the range of each."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.released = threading.Event()  # ends what is stalled

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        given = self.headers.get("Range")
        self.server.asked.append((self.path, given))
        start = int(given.removeprefix("bytes=").rstrip("-")) if given else 0
        match self.path:
            case "/moved":
                self.send_response(302)
                self.send_header("Location", "/file.bin")
                self.end_headers()
            case "/to-a-file":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
            case "/around":
                self.send_response(302)
                self.send_header("Location", "/around")
                self.end_headers()
            case "/gone":
                self.send_error(404, "Not Found")
            case "/silent":
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.flush()
                self.server.released.wait(20)
            case "/cut":  # a third of what is left, each time
                self.answer(BODY[start:], start, cut=max(1, (len(BODY) - start) // 3))
            case "/stalls-once" if not given:
                self.answer(BODY, 0, cut=1000, stall=True)
            case "/no-ranges":
                self.answer(BODY, 0, cut=len(BODY) if len(self.server.asked) > 1 else 500)
            case _:
                self.answer(BODY[start:], start)

    def answer(self, data: bytes, start: int, cut: int | None = None, *, stall: bool = False) -> None:
        ranged = bool(start)
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(data)))
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()
        self.wfile.write(data if cut is None or cut + 2 > len(data) else data[:cut])
        self.wfile.flush()
        if stall:
            self.server.released.wait(20)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.released.set()
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_file_is_fetched_once_and_checked(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "inner" / "file.bin"
    for _ in range(2):
        assert fetch(f"{server.url}/file.bin", target, sha256=SHA).read_bytes() == BODY
    assert len(server.asked) == 1
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_what_is_cut_off_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    fetch(f"{server.url}/cut", tmp_path / "file.bin", sha256=SHA)
    ranges = [given for _, given in server.asked]
    assert ranges[0] is None
    assert ranges[1] == f"bytes={len(BODY) // 3}-"
    assert len(ranges) > 5, "progress counts as a fresh start: more connections than attempts in a row"


def test_what_stalls_is_given_up_and_gone_on_with(server: Server, tmp_path: Path) -> None:
    fetch(f"{server.url}/stalls-once", tmp_path / "file.bin", sha256=SHA, timeout=0.3)
    assert [given for _, given in server.asked] == [None, "bytes=1000-"]


def test_what_never_answers_is_an_error_and_not_a_hang(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"/silent could not be fetched: nothing came for 0.1 s; what has arrived"):
        fetch(f"{server.url}/silent", tmp_path / "file.bin", timeout=0.1, attempts=2)
    assert len(server.asked) == 2
    assert not (tmp_path / "file.bin").exists()


def test_a_server_without_ranges_sends_the_whole_file_again(server: Server, tmp_path: Path) -> None:
    assert fetch(f"{server.url}/no-ranges", tmp_path / "file.bin", sha256=SHA).read_bytes() == BODY


def test_a_redirect_is_followed_but_not_out_of_the_web_nor_for_ever(server: Server, tmp_path: Path) -> None:
    assert fetch(f"{server.url}/moved", tmp_path / "file.bin", sha256=SHA).read_bytes() == BODY
    with pytest.raises(RequestError, match=r"file:///etc/passwd"):
        fetch(f"{server.url}/to-a-file", tmp_path / "other.bin", attempts=1)
    with pytest.raises(RequestError, match=r"/around could not be fetched"):
        fetch(f"{server.url}/around", tmp_path / "other.bin", attempts=1)
    with pytest.raises(RequestError, match="only http and https addresses are fetched"):
        fetch("file:///etc/passwd", tmp_path / "other.bin")
    assert not (tmp_path / "other.bin").exists()


def test_another_file_than_the_published_one_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        IntegrityError, match=r"should have sha256 abababababababab\.\.\., got .*another file than the one"
    ):
        fetch(f"{server.url}/file.bin", tmp_path / "file.bin", sha256="ab" * 32)
    assert list(tmp_path.iterdir()) == []
    fetch(f"{server.url}/file.bin", tmp_path / "file.bin", sha256=SHA[:8])
    with pytest.raises(IntegrityError, match="another file"):
        fetch(f"{server.url}/file.bin", tmp_path / "file.bin", sha256="ab" * 4)


def test_what_is_not_there_is_said_at_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"/gone could not be fetched: the server answers 404 Not Found"):
        fetch(f"{server.url}/gone", tmp_path / "file.bin")
    assert len(server.asked) == 1


def test_archives_are_unpacked_below_their_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inner/x.txt", "x")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("./inner/y.txt")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"y"))
    assert unpack(tmp_path / "a.zip", tmp_path / "out") + unpack(tmp_path / "a.tar.gz", tmp_path / "out") == 2
    assert {path.name for path in (tmp_path / "out" / "inner").iterdir()} == {"x.txt", "y.txt"}


@pytest.mark.parametrize("name", ["../x.txt", "inner/../../x.txt", "/tmp/x.txt", "..\\x.txt"])
def test_a_zip_that_would_leave_its_folder_is_refused_whole(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("fine.txt", "x")
        archive.writestr(name, "x")
    with pytest.raises(RequestError, match=r"which would be written outside the folder; nothing was unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(RequestError, match="which is a link or device; nothing was unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "a.tar").write_bytes(b"no archive")
    for name in ("a.zip", "a.tar"):
        with pytest.raises(IntegrityError, match="cannot be unpacked"):
            unpack(tmp_path / name, tmp_path / "out")
    assert safe_entry("a/b.txt")
    assert not safe_entry("")
