"""The table of README.md, from a benchmark's JSON: `python -m benchmarks.readme` writes it between its marks.

One row per scorer: our seconds, and how many times as long each peer takes for fit and score together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import table

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "small-2cores.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- benchmark -->\n", "<!-- end of benchmark -->"
AGREES = 0.999


def lines(found: Mapping[str, Any]) -> str:
    """What stands between the marks."""
    peers = [name for name in ("pytorch-ood", "oodeel", "openood") if name in found]
    seconds: dict[str, float] = {}
    times: dict[str, dict[str, str]] = {}
    for peer in peers:
        for row in found[peer]["methods"]:
            scorer = row["ours"].partition(":")[0]
            ours = row["our_fit"] + row["our_score"]
            seconds[scorer] = min(seconds.get(scorer, ours), ours)
            times.setdefault(scorer, {})[peer] = _times(row, ours)
    body = [
        (f"`{scorer}`", f"{digits(1e3 * seconds[scorer])} ms", *(times[scorer].get(peer, "") for peer in peers))
        for scorer in sorted(seconds)
    ]
    whole = {peer: found[peer]["whole"] for peer in peers}
    body.append(
        (
            "all that both have, in one run",
            "",
            *(f"**{digits(whole[p]['seconds'] / whole[p]['ours'])} x**" for p in peers),
        )
    )
    head = ("fit + score", "ours", *(f"{peer} {found[peer]['version']}" for peer in peers))
    machine, size = found["machine"], found["size"]
    return (
        f"{table(head, body)}\n\n"
        f"{machine['processor']}, {machine['cores']} cores, {size['n_fit']:,} fit and {size['n']:,} scored rows of "
        f"{size['d']:,} features and {size['k']:,} classes, commit {found['commit']}:\n\n"
        f"```bash\n{found['command']}\n```\n"
    )


def _times(row: Mapping[str, Any], ours: float) -> str:
    if row["fit"] is None or row["score"] is None:
        return "fails"
    if row["agreement"] is not None and not row["agreement"] >= AGREES:
        return "differs"
    return (">" if row["at_least"] else "") + f"{digits((row['fit'] + row['score']) / ours)} x"


def digits(value: float) -> str:
    """Two significant digits."""
    return f"{float(f'{value:.2g}'):,.10g}"


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        sys.exit(f"{README.name} has no {BEGIN.strip()} ... {END}")
    README.write_text(before + BEGIN + lines(json.loads(RESULT.read_text())) + END + after)


if __name__ == "__main__":
    main()
