"""Fetches a file: goes on where it was cut off, gives up on what stalls, and keeps nothing whose hash is wrong."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ood_bench.canonical import sha256_of_file
from ood_bench.errors import IntegrityError, RequestError

ATTEMPTS = 5  # in a row without a single new byte
TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 20

Report = Callable[[int, int | None], None]  # bytes there, bytes in all where the server says so


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    timeout: float = TIMEOUT,
    attempts: int = ATTEMPTS,
    report: Report = lambda done, total: None,
) -> Path:
    """The file at `target`, fetched where it is not there yet. `sha256` may be a beginning of the hash.

    What has arrived is kept beside it as `.part` and gone on with, in this call and the next. Raises RequestError where
    the server does not deliver, IntegrityError where it delivers something else.
    """
    if target.is_file():
        _check(target, sha256, url)
        return target
    if urlsplit(url).scheme not in ("http", "https"):
        raise RequestError(f"only http and https addresses are fetched, got {url}; get the file by hand")
    part = target.with_name(f"{target.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _fill(url, part, timeout, attempts, report)
    except OSError as error:
        raise RequestError(f"cannot write {part}: {error.strerror or error}; choose another folder") from error
    try:
        _check(part, sha256, url)
    except IntegrityError:
        part.unlink()
        raise
    part.replace(target)
    return target


def _fill(url: str, part: Path, timeout: float, attempts: int, report: Report) -> None:
    failures, reason = 0, ""
    while failures < attempts:
        before = part.stat().st_size if part.is_file() else 0
        try:
            if _once(url, part, before, timeout, report):
                return
            reason = "the connection ended too early"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # what is there is not the beginning of what the server has
                part.unlink()
            reason = f"the server answers {error.code} {error.reason}"
            if error.code in (401, 403, 404, 410):
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = f"nothing came for {timeout:g} s" if _is_timeout(error) else str(getattr(error, "reason", error))
        after = part.stat().st_size if part.is_file() else 0
        failures = 0 if after > before else failures + 1
    raise RequestError(
        f"{url} could not be fetched: {reason}; what has arrived is kept, repeat the command to go on, "
        "or get the file by hand"
    )


def _once(url: str, part: Path, start: int, timeout: float, report: Report) -> bool:
    """One connection; whether the whole file has arrived."""
    request = urllib.request.Request(url, headers={"User-Agent": "ood-bench", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with _OPENER.open(request, timeout=timeout) as answer:
        goes_on = answer.status == 206
        total = _total(answer, start if goes_on else 0)
        with part.open("ab" if goes_on else "wb") as file:
            return _copy(answer, file, start if goes_on else 0, total, report)


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], done: int, total: int | None, report: Report) -> bool:
    while block := answer.read1(_BLOCK):  # what is there, so that nothing is lost where the rest never comes
        file.write(block)
        done += len(block)
        report(done, total)
    return total is None or done >= total


def _total(answer: http.client.HTTPResponse, start: int) -> int | None:
    length = answer.headers.get("Content-Length")
    return start + int(length) if length is not None and length.isdigit() else None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http and never out of the web."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # as the parent
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before, after) == ("https", "http"):
            raise urllib.error.URLError(f"the server redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SafeRedirects)


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)


def _check(path: Path, sha256: str | None, url: str) -> None:
    if sha256 is None:
        return
    found = sha256_of_file(path)
    if not found.startswith(sha256):
        raise IntegrityError(
            f"{path} from {url} should have sha256 {sha256[:16]}..., got {found[:16]}...; it is another file than the "
            "one that was published: remove it and try again, or get it from elsewhere"
        )
