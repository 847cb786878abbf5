"""The words of a table: what a line is called, what stands above it, and the reasons for what is not in it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Sequence

from ood_bench.store.row import MEAN, Row

SHORT = 24  # letters of a protocol that is a name


def printable(text: str) -> str:
    """The text with control and formatting characters written out, so that it cannot steer a terminal or a page."""
    return "".join(
        character if unicodedata.category(character)[0] != "C" else character.encode("unicode_escape").decode()
        for character in text
    )


def labelled(lines: list[list[Row]]) -> list[tuple[str, list[Row]]]:
    """Each line with the scorer's name and whatever else it takes to tell it from its neighbours."""
    namesakes: dict[str, list[Row]] = {}
    for rows in lines:
        namesakes.setdefault(rows[0].scorer, []).append(rows[0])
    return [(_label(rows[0], namesakes[rows[0].scorer]), rows) for rows in lines]


def _label(row: Row, namesakes: Sequence[Row]) -> str:
    details = [f"{key}={_plain(value)}" for key, value in _params(row).items() if _varies(key, namesakes)]
    for name, title in (("profile", ""), ("tuned_on", "tuned on "), ("seed", "seed "), ("scorer_version", "version ")):
        value = getattr(row, name)
        if value is not None and len({getattr(other, name) for other in namesakes}) > 1:
            details.append(f"{title}{value}")
    if row.origin not in (None, "ours"):
        details.append(str(row.origin))
    return printable(row.scorer + (f" ({', '.join(details)})" if details else ""))


def _varies(key: str, rows: Sequence[Row]) -> bool:
    return len({json.dumps(_params(row).get(key), sort_keys=True) for row in rows}) > 1


def _params(row: Row) -> dict[str, object]:
    try:
        value = json.loads(row.params or "{}")
    except ValueError:
        value = row.params
    return value if isinstance(value, dict) else {"params": value}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def caption(rows: Sequence[Row], accuracy: Collection[float]) -> str:
    """Suite, protocol (its name, not a paragraph) and checkpoint, with the ID accuracy where there is one."""
    row = rows[0]
    checkpoint = row.model if row.model_seed is None else f"{row.model}@{row.model_seed}"
    parts = [row.suite, *([row.protocol] if row.protocol and len(row.protocol) <= SHORT else []), checkpoint]
    seeds = sorted({each.n_seeds for each in rows if each.n_seeds is not None})
    if seeds and seeds[-1] > 1:
        parts.append(f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds")
    if len(accuracy) == 1:
        parts.append(f"ID accuracy {100 * next(iter(accuracy)):.2f} %")
    return printable(" · ".join(parts))


def reasons(lines: Sequence[tuple[str, list[Row]]]) -> list[str]:
    """One sentence per reason, with every line and set it holds for; a mean is left out where a set explains it."""
    holding: dict[tuple[str, str], list[str]] = {}
    for label, rows in lines:
        empty = [row for row in rows if row.status != "ok"]
        explained = {row.group for row in empty if row.set != MEAN}
        sets: dict[tuple[str, str], list[str]] = {}
        for row in empty:
            if row.set != MEAN or row.group not in explained:
                name = f"the mean over {row.group}" if row.set == MEAN else row.set
                sets.setdefault((row.status, row.reason or "no reason was recorded"), []).append(name)
        every = len({(row.group, row.set) for row in rows if row.set != MEAN})
        for reason, names in sets.items():
            where = "" if len(names) == every else printable(f" on {', '.join(names)}")
            holding.setdefault(reason, []).append(label + where)
    return [
        f"{status}: {'; '.join(items)}: {printable(reason)}"
        for (status, reason), items in sorted(holding.items(), key=lambda item: item[0][0] == "skipped")
    ]
