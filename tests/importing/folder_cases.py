"""Sets of one small model, saved in every layout that an import reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ood_bench.bank.catalog import find_bank
from ood_bench.bank.reader import DiskBank, open_bank
from ood_bench.home import Home
from ood_bench.importing.folder import Imported, import_folder

D, K = 6, 4
SIZES = {"train": 60, "test": 40, "near_one": 30, "far_one": 20, "far_two": 7}
ROLES: dict[str, Any] = {"fit": "train", "test": "test", "near": ["near_one"], "far": ["far_one", "far_two"]}

Arrays = dict[str, np.ndarray]


def model_says(n: int, seed: int) -> Arrays:
    """Features, logits and labels of a linear model, float32."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, D)).astype(np.float32)
    weight, bias = head_arrays()
    logits = (features.astype(np.float64) @ weight.T.astype(np.float64) + bias).astype(np.float32)
    return {"features": features, "logits": logits, "labels": rng.integers(0, K, n)}


def head_arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(99)
    return rng.normal(size=(K, D)).astype(np.float32), rng.normal(size=K).astype(np.float32)


def all_sets() -> dict[str, Arrays]:
    return {name: model_says(n, seed) for seed, (name, n) in enumerate(SIZES.items())}


def save_npz(directory: Path, sets: dict[str, Arrays]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, arrays in sets.items():
        np.savez(directory / f"{name}.npz", **arrays)
    weight, bias = head_arrays()
    np.savez(directory / "head.npz", W=weight, b=bias)
    return directory


def save_npy_parts(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        for array, values in arrays.items():
            np.save(directory / f"{name}_{array}.npy", values)
    weight, bias = head_arrays()
    torch.save({"fc.weight": torch.from_numpy(weight), "fc.bias": torch.from_numpy(bias)}, directory / "fc.pt")


def save_folders_of_npy(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        (directory / name).mkdir()
        for array, values in arrays.items():
            np.save(directory / name / f"{array}.npy", values)
    np.savez(directory / "head.npz", w=head_arrays()[0], bias=head_arrays()[1])


def save_torch_parts(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        for array, values in arrays.items():
            torch.save(torch.from_numpy(values), directory / f"{name}_{array}.pt")
    weight, bias = map(torch.from_numpy, head_arrays())
    model = {"conv.weight": torch.zeros(2, 2, 3, 3), "conv.bias": torch.zeros(2), "fc.weight": weight, "fc.bias": bias}
    torch.save({"epoch": 3, "state_dict": model}, directory / "head.pth")


def save_torch(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        torch.save({array: torch.from_numpy(values) for array, values in arrays.items()}, directory / f"{name}.pt")
    torch.save(tuple(map(torch.from_numpy, head_arrays())), directory / "head.pt")


def save_safetensors(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        save_file({k: torch.from_numpy(values) for k, values in arrays.items()}, directory / f"{name}.safetensors")
    weight, bias = map(torch.from_numpy, head_arrays())
    save_file({"weight": weight, "bias": bias}, directory / "head.safetensors")


def save_safetensors_parts(directory: Path, sets: dict[str, Arrays]) -> None:
    for name, arrays in sets.items():
        for array, values in arrays.items():
            save_file({"x": torch.from_numpy(values)}, directory / f"{name}_{array}.safetensors")
    weight, bias = map(torch.from_numpy, head_arrays())
    save_file({"weight": weight, "bias": bias}, directory / "head.safetensors")


def run(place: Home, directory: Path, **changes: Any) -> Imported:
    return import_folder(place, directory, **({"model": "net", "suite": "mine", **ROLES} | changes))


def bank(place: Home, name: str, model: str = "net") -> DiskBank:
    folder = find_bank(place, model, None, name)
    assert folder is not None
    return open_bank(folder)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
