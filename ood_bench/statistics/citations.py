"""BibTeX of what was run, out of the short references that methods and suites carry.

An entry holds what the reference says and nothing that would have to be guessed: authors' surnames, venue, year, arXiv
number. Titles are not among it; the arXiv number or address leads to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_OPENREVIEW = re.compile(r"openreview (\w+)")
_ADDRESS = re.compile(r"(?:https?://)?((?:github\.com|openreview\.net)/\S+)")
_SPECIAL = re.compile(r"[&%$#_{}]")


def bibtex(references: Mapping[str, Sequence[str]]) -> str:
    """One entry per paper, each saying in its note what it was cited for.

    `references` maps what was run ("scorer vim") to short references such as "Wang et al., CVPR 2022,
    arXiv:2203.10807"; several in one are parted by semicolons. What is no reference to a paper becomes a comment.
    """
    used: dict[str, list[str]] = {}
    comments: list[str] = []
    for what, texts in references.items():
        parts = [part.strip() for text in texts for part in text.split(";") if part.strip()]
        papers = [part for part in parts if _is_paper(part)]
        if not papers:
            comments.append(f"% {what}: {'; '.join(parts) or 'no paper is known'}")
        for part in papers:
            used.setdefault(part, []).append(what)
    entries: dict[str, str] = {}
    for part, whats in _joined(used).items():
        entries[_key(part, entries)] = _entry(part, whats)
    texts = [text.replace("KEY", key, 1) for key, text in sorted(entries.items())]
    return "\n\n".join([*texts, *(["\n".join(comments)] if comments else [])]) + "\n"


def _is_paper(text: str) -> bool:
    return bool((_YEAR.search(text) and _authors(text)) or _ARXIV.search(text))


def _joined(used: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """References of one arXiv number are one paper, in the longest of its wordings."""
    by_paper: dict[str, list[str]] = {}
    for part in used:
        arxiv = _ARXIV.search(part)
        by_paper.setdefault(arxiv[1] if arxiv else part, []).append(part)
    return {
        max(parts, key=len): list(dict.fromkeys(what for part in parts for what in used[part]))
        for parts in by_paper.values()
    }


def _authors(text: str) -> list[str]:
    """Surnames, "others" for et al.; empty where the text does not begin with any."""
    first = re.sub(r"\([^)]*\)", "", _without_lead(text).partition(",")[0]).strip()
    if not first or not first[0].isupper() or _YEAR.search(first):
        return []
    plain = first.removesuffix("et al.").strip()
    names = [name.strip() for name in plain.split("&")]
    return [*names, *(["others"] if first.endswith("et al.") else [])]


def _without_lead(text: str) -> str:
    """Without words before the reference proper: "after Burns, 2025" and "full covariances: Mueller & Hein"."""
    return re.sub(r"^(?:[a-z][\w ]*: ?|after )", "", text)


def _key(text: str, taken: Mapping[str, str]) -> str:
    authors, year = _authors(text), _YEAR.search(text)
    stem = re.sub(r"\W", "", (authors[0] if authors else "paper").lower()) + (year[0] if year else "")
    arxiv = _ARXIV.search(text)
    stem = stem or (arxiv[1] if arxiv else "paper")
    return next(
        key for key in (stem, *(f"{stem}{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")) if key not in taken
    )


def _entry(text: str, whats: Sequence[str]) -> str:
    authors, year = _authors(text), _YEAR.search(text)
    arxiv, review, address = _ARXIV.search(text), _OPENREVIEW.search(text), _ADDRESS.search(text)
    venue = re.search(r"(?:^|, )([A-Z][\w/ ]*?) (?:19|20)\d\d\b", text)
    fields = {
        "author": " and ".join(_escaped(f"{{{name}}}" if " " in name else name, "{}") for name in authors),
        "howpublished": _escaped(f"{venue[1]} {year[0]}") if venue and year else "",
        "year": year[0] if year else "",
        "eprint": arxiv[1] if arxiv else "",
        "archiveprefix": "arXiv" if arxiv else "",
        "url": f"https://openreview.net/forum?id={review[1]}" if review else f"https://{address[1]}" if address else "",
        "note": _escaped(f"For {', '.join(whats)}"),
    }
    body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@misc{{KEY,\n{body}\n}}"


def _escaped(text: str, keep: str = "") -> str:
    return _SPECIAL.sub(lambda match: match[0] if match[0] in keep else f"\\{match[0]}", text)
