"""oodeel, from the registry, on cached features: its network is the head alone, so that it also computes the logits.

Its environment may be another one (it asks for an older NumPy): `--python oodeel=PATH`. Only workers import it.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.method import Method, Tensors, linear

ROWS = 1024


def methods(tensors: Tensors) -> dict[str, Method]:
    """Its detectors that work on last features or logits, with the parameters of ours."""
    d, k = tensors.weight.shape[1], tensors.weight.shape[0]
    dim = 1000 if d >= 2048 else 512 if d >= 768 else d // 2
    neighbours = min(1000 if k >= 1000 else 50, len(tensors.fit_features))
    known: dict[str, tuple[str, str, dict[str, Any]]] = {
        "MSP": ("msp", "mls.MLS", {"output_activation": "softmax"}),
        "MLS": ("maxlogit", "mls.MLS", {}),
        "Energy": ("energy", "energy.Energy", {}),
        "Entropy": ("entropy", "entropy.Entropy", {}),
        "GEN": ("gen", "gen.GEN", {"gamma": 0.1, "k": min(100, k)}),
        "ReAct": ("react", "energy.Energy", {"use_react": True, "react_quantile": 0.99}),
        "SCALE": ("scale", "energy.Energy", {"use_scale": True, "scale_percentile": 0.85}),
        "ASH": ("ash-s", "energy.Energy", {"use_ash": True, "ash_percentile": 0.9}),
        "DKNN": ("knn", "dknn.DKNN", {"nearest": neighbours}),
        "Mahalanobis": ("mds", "mahalanobis.Mahalanobis", {"eps": 0.0}),
        "RMDS": ("rmds", "rmds.RMDS", {"eps": 0.0}),
        "VIM": ("vim", "vim.VIM", {"princ_dims": dim, "pca_origin": "pseudo"}),
        "SHE": ("she", "she.SHE", {"eps": 0.0}),
    }
    return {name: _method(ours, where, args) for name, (ours, where, args) in known.items()}


def _method(ours: str, where: str, args: dict[str, Any]) -> Method:
    held: list[Any] = []

    def load() -> Any:
        module, _, name = where.partition(".")
        return getattr(importlib.import_module(f"oodeel.methods.{module}"), name)

    def fit(tensors: Tensors) -> object:
        held[:] = [load()(**args)]
        detector, dataset = held[0], None
        if detector.requires_to_fit_dataset or detector.use_react:
            dataset = DataLoader(TensorDataset(tensors.fit_features, tensors.fit_labels), batch_size=ROWS)
        layers: list[str] = ["features"] if detector.requires_internal_features else []
        return detector.fit(_network(tensors), fit_dataset=dataset, feature_layers_id=layers, head_layer_id="head")

    def score(tensors: Tensors, rows: slice) -> Tensor:
        with torch.enable_grad():  # some of its detectors ask for a gradient even where it is multiplied by zero
            scores, _ = held[0].score(tensors.features[rows])
        return torch.as_tensor(scores)

    return Method(ours, score, fit, prepare=load, sign=-1, rows=ROWS)


def _network(tensors: Tensors) -> torch.nn.Module:
    layers = OrderedDict[str, torch.nn.Module](features=torch.nn.Identity(), head=linear(tensors))
    return torch.nn.Sequential(layers).eval()
