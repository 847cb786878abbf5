"""What registered scorers say about themselves. The one module of the page that imports the registry, and so torch."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ood_bench.registry import SCORERS, load_all

OTHER = "other"  # the family of a plug-in that is not loaded, or of scores from elsewhere


@dataclass(frozen=True, slots=True)
class Method:
    """A scorer's family, where it was published, what it is in one sentence; for a composition those of its parts."""

    family: str = OTHER
    paper: str = ""
    summary: str = ""


def methods_of(names: Iterable[str]) -> Mapping[str, Method]:
    """By name as records have it: "react+vim" is in the family of its last part and has the papers of both."""
    load_all()
    return {name: _method(name) for name in sorted(set(names))}


def _method(name: str) -> Method:
    known = [SCORERS.get(part) for part in name.split("+") if part in SCORERS.entries or part in SCORERS.aliases]
    if not known:
        return Method()
    papers = list(dict.fromkeys(entry.paper for entry in known if entry.paper))
    first_paragraphs = [(inspect.getdoc(entry.cls) or "").partition("\n\n")[0].replace("\n", " ") for entry in known]
    return Method(known[-1].family, "; ".join(papers), " ".join(first_paragraphs) if len(known) == 1 else "")
