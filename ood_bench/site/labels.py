"""What the page calls a line: the scorer, as it is typed, with what tells it from its neighbours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ood_bench.render.labels import printable
from ood_bench.store.selection import Line


def labels_of(lines: Sequence[Line]) -> list[str]:
    """What each line is called: the scorer, and what tells it from others of that name on the same checkpoint.

    A parameter that differs only from checkpoint to checkpoint (resolved by the size of the features) is not named, so
    that a scorer has one name over all backbones.
    """
    details = [_details(line) for line in lines]
    telling: dict[str, list[str]] = {}
    for scorer in {line.scorer for line in lines}:
        places: dict[tuple[str, int | None], list[Mapping[str, str]]] = {}
        for line, own in zip(lines, details, strict=True):
            if line.scorer == scorer and line.records:
                places.setdefault((line.model, line.model_seed), []).append(own)
        names = dict.fromkeys(name for owns in places.values() for own in owns for name in own)
        telling[scorer] = [
            name for name in names if any(len({own.get(name) for own in owns}) > 1 for owns in places.values())
        ]
    return [
        _label(line.scorer, {name: own[name] for name in telling[line.scorer] if own.get(name)})
        for line, own in zip(lines, details, strict=True)
    ]


def _label(scorer: str, telling: Mapping[str, str]) -> str:
    """As the scorer would be typed, `react:q=0.9+energy`; what cannot be typed follows in brackets."""
    parts = scorer.split("+")
    own = {part: [text for name, text in telling.items() if _owner(name, parts) == part] for part in parts}
    typed = "+".join(":".join(filter(None, [part, ",".join(own[part])])) for part in parts)
    aside = [text for name, text in telling.items() if name.startswith(" ")]
    return printable(typed + (f" ({', '.join(aside)})" if aside else ""))


def _owner(name: str, parts: Sequence[str]) -> str | None:
    """The part of a composition that a parameter belongs to: "react.q" to react."""
    if name.startswith(" "):
        return None
    return name.rpartition(".")[0] if len(parts) > 1 else parts[0]


def _details(line: Line) -> dict[str, str]:
    """Everything that may tell two lines of one scorer apart, in words."""
    params = json.loads(line.params or "{}")
    details = {
        name: f"{name.rpartition('.')[2]}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in params.items()
    }
    for record in line.records.values():
        key = record.key
        details |= {
            " origin": "" if record.origin == "ours" else record.origin,
            " profile": record.profile or "",
            " tuned": f"tuned on {record.tuned_on}" if record.tuned_on else "",
            " seed": "" if key.seed is None else f"seed {key.seed}",
            " precision": key.precision or "",
            " fit": f"fitted on {key.fit_split}" if key.fit_split else "",
        }
        break
    return details
