"""Names: as folder names, and what to say when one is not known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from urllib.parse import quote

from ood_bench.errors import RequestError

NAME = re.compile(r"[a-z0-9-]+")


def folder_name(name: str) -> str:
    """The name percent-encoded, so that any name is one safe path component; the real name lives in the manifest."""
    encoded = quote(name, safe="-_+=, ")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def unknown(kind: str, name: str, known: Iterable[str]) -> RequestError:
    """The error for a name nobody registered: near matches first, then the whole list."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    guess = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    listing = f"; there are: {', '.join(names)}" if names else "; there are none yet"
    return RequestError(f"no {kind} is named {name!r}{guess}{listing}")
