"""Scores of OpenOOD's own post-processors on fixed tensors: which is compared with which of ours, and how they are made.

`python tests/adapters/openood_cases.py COMMIT`, with a checkout of OpenOOD of that commit on PYTHONPATH (and faiss-cpu for
knn and nnguide), writes tests/scorers/openood_goldens.json anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from support import Problem, problem, score

GOLDENS = Path(__file__).parents[1] / "scorers" / "openood_goldens.json"
SETS = ("test", "ood")

# OpenOOD's name and parameters -> the name in the profile, with what must differ from it on a problem of 24 features
CASES: dict[str, tuple[str, str]] = {
    "openood:msp": ("msp", ""),
    "openood:mls": ("maxlogit", ""),
    "openood:ebo": ("energy", ""),
    "openood:gen": ("gen", ""),
    "openood:klm": ("klm", ""),
    "openood:react": ("react+energy", ""),
    "openood:vra": ("vra+energy", ""),
    "openood:dice": ("dice+energy", ""),
    "openood:ash": ("ash-b+energy", ""),
    "openood:scale": ("scale+energy", ""),
    "openood:gradnorm": ("gradnorm", ""),
    "openood:fdbd": ("fdbd", ""),
    "openood:nci": ("nci", ""),
    "openood:mds": ("mds", ""),
    "openood:rmds": ("rmds", ""),
    "openood:vim:dim=12": ("vim", "vim:dim=12"),  # 256 is more than there are features
    "openood:residual:dim=12": ("residual", "residual:dim=12,fit=val"),  # likewise 512
    "openood:knn": ("knn", ""),
    "openood:nnguide:alpha=1.0": ("nnguide", ""),  # its 1 % are the first of an unseeded shuffle; ours are all
    "openood:she": ("she", ""),
    "openood:relation": ("relation", ""),
}


def fixed() -> Problem:
    """Features, logits, labels and head, rounded to float32 so that both sides are given the same numbers."""
    made = problem(41, n=30)
    weight, bias = made.weight.astype(np.float32).astype(np.float64), made.bias.astype(np.float32).astype(np.float64)
    sets = {}
    for name, (features, _, labels) in made.sets.items():
        rounded = features.astype(np.float32).astype(np.float64)
        sets[name] = (rounded, (rounded @ weight.T + bias).astype(np.float32).astype(np.float64), labels)
    return Problem(weight, bias, sets)


def hash_of(given: Problem) -> str:
    """What the tensors are known by; a golden is worth nothing on other tensors."""
    digest = hashlib.sha256(given.weight.astype("<f4").tobytes() + given.bias.astype("<f4").tobytes())
    for _, arrays in sorted(given.sets.items()):
        for array in arrays:
            digest.update(array.astype("<f4").tobytes())
    return digest.hexdigest()


def theirs(name: str, given: Problem) -> dict[str, list[float]]:
    """Scores of OpenOOD's own code, in its float32."""
    return {part: [float(f"{value:.9g}") for value in score(name, given, part, dtype=torch.float32)] for part in SETS}


def main(commit: str) -> None:
    given = fixed()
    document = {
        "origin": f"github.com/Jingkang50/OpenOOD, commit {commit}, its post-processors run by ood_bench.adapters.openood",
        "inputs_sha256": hash_of(given),
        "scores": {name: theirs(name, given) for name in CASES},
    }
    GOLDENS.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
