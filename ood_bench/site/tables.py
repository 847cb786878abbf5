"""Texts and hashes that many numbers share, kept once and named by their place."""

from __future__ import annotations

from ood_bench.site.packing import pack_hash


class Texts:
    """Each text once, in the order of first mention."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, text: str | None) -> int:
        """Where the text stands; -1 for none."""
        return -1 if text is None else self._places.setdefault(text, len(self._places))

    def to_json(self) -> list[str]:
        return list(self._places)


class Hashes(Texts):
    """Likewise for SHA-256 hashes in hexadecimal, which are written packed."""

    def to_json(self) -> list[str]:
        return [pack_hash(sha256) for sha256 in self._places]
