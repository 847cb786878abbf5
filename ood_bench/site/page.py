"""The page as one file: markup, style, script and data, and a policy that lets nothing else run or load."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files

# In the order in which they build on one another.
SCRIPTS = ("data", "dom", "state", "provenance", "table", "heat", "charts", "scorer", "csv", "main")


def to_page(document: Mapping[str, object]) -> str:
    """The HTML of the page for the document of a `Collector`."""
    style, script = _asset("page.css"), "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    parts = {
        "policy": f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "title": escape(str(document["title"])),
        "style": style,
        "data": as_data(document),
        "script": script,
    }
    page = _asset("page.html")
    for name in ("policy", "title", "style", "script", "data"):  # the data last: they may hold a placeholder's name
        page = page.replace(f"%{name}%", parts[name])
    return page


def as_data(document: Mapping[str, object]) -> str:
    """JSON that no parser of HTML can take for markup: neither `</script>` nor `<!--` can stand in it."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _asset(name: str) -> str:
    return (files("ood_bench.site") / name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """The policy's word for exactly this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
