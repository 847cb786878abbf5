"""Numbers that move without a raised version are caught: five scores of every scorer, kept with its version.

After raising a scorer's version, or adding a scorer:  python tests/core/test_version_goldens.py
That rewrites the entries of new names and of raised versions and no others.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ood_bench.contract import easy, scores_of
from ood_bench.registry import SCORERS, load_all

FILE = Path(__file__).with_name("version_goldens.json")
ROWS = (0, 17, 41)  # of ID test
OUTLIERS = (0, 33)
# Six digits are kept; other processors and BLAS libraries reorder sums.
TOLERANCE = 5e-6

load_all()
SHIPPED = sorted(name for name, entry in SCORERS.entries.items() if entry.origin == "ours")


def five_scores(name: str) -> list[float]:
    """Of the contract's easy problem in float64, to six significant digits."""
    test, ood = scores_of(name, easy())
    return [float(f"{value:.6g}") for value in (*test[list(ROWS)], *ood[list(OUTLIERS)])]


def kept() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(FILE.read_text())
    return found


def test_every_scorer_is_kept_and_nothing_else() -> None:
    assert sorted(kept()) == SHIPPED, f"run: python {Path(__file__).relative_to(Path(__file__).parents[2])}"


@pytest.mark.parametrize("name", SHIPPED)
def test_scores_move_only_with_the_version(name: str) -> None:
    golden = kept().get(name)
    assert golden is not None, f"{name} is new: run python tests/core/test_version_goldens.py"
    assert golden["version"] == SCORERS.get(name).version, (
        f"{name} has another version: run python tests/core/test_version_goldens.py"
    )
    expected, found = np.array(golden["scores"]), np.array(five_scores(name))
    scale = np.maximum(np.abs(expected), np.sqrt(np.mean(expected**2)))
    assert (np.abs(found - expected) <= TOLERANCE * scale).all(), (
        f"the scores of {name} moved from {expected} to {found}: raise its version, and say so in the changelog"
    )


def regenerate() -> None:
    """Entries of new names and raised versions anew, the others as they are."""
    old = kept() if FILE.exists() else {}
    new = {
        name: old[name]
        if old.get(name, {}).get("version") == SCORERS.get(name).version
        else {"version": SCORERS.get(name).version, "scores": five_scores(name)}
        for name in SHIPPED
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in new.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    regenerate()
