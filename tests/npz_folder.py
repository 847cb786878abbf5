"""A folder of tensors as users have them: SET.npz with features, logits, labels, and head.npz with W and b."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support import Problem, problem

FLAGS = ("--fit", "train", "--val", "held", "--test", "test", "--near", "near", "--far", "far,wide")


def write_folder(folder: Path, given: Problem | None = None, *, far_seed: int = 5) -> Path:
    """train (400 rows), held (200), test, near, far, wide (60 each); d = 24, K = 7, float32."""
    given = given or problem()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(far_seed)
    near = given.features("ood")
    outliers = {"far": near + 0.5, "wide": near * rng.uniform(0.2, 2.0, (len(near), 1))}
    rows = {"train": given.sets["fit"], "held": given.sets["val"], "test": given.sets["test"]}
    rows["near"] = given.sets["ood"]
    rows |= {name: (x, x @ given.weight.T + given.bias, np.full(len(x), -1)) for name, x in outliers.items()}
    for name, (features, logits, labels) in rows.items():
        write_set(folder, name, features, logits, labels)
    np.savez(folder / "head.npz", W=given.weight.astype(np.float32), b=given.bias.astype(np.float32))
    return folder


def write_set(folder: Path, name: str, features: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> None:
    """One set, floats as float32."""
    np.savez(
        folder / f"{name}.npz", features=features.astype(np.float32), logits=logits.astype(np.float32), labels=labels
    )
