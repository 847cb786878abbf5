"""pytorch-ood, from the registry, on cached features and logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytorch_ood import detector as peer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.method import Method, Tensors, linear

identity = torch.nn.Identity()


def methods(tensors: Tensors) -> dict[str, Method]:
    """Its detectors that work on last features or logits, with the parameters of ours."""
    head, weight, bias = linear(tensors), tensors.weight, tensors.bias
    d, k = weight.shape[1], weight.shape[0]
    dim = 1000 if d >= 2048 else 512 if d >= 768 else d // 2
    p = 0.7 if k >= 1000 else 0.9
    neighbours = min(1000 if k >= 1000 else 50, len(tensors.fit_features))
    return {
        "MaxSoftmax": on_logits("msp", lambda: peer.MaxSoftmax(None), learns=False),
        "MaxLogit": on_logits("maxlogit", lambda: peer.MaxLogit(None), learns=False),
        "EnergyBased": on_logits("energy", lambda: peer.EnergyBased(None), learns=False),
        "Entropy": on_logits("entropy", lambda: peer.Entropy(None), learns=False),
        "GEN": on_logits("gen", lambda: peer.GEN(None, gamma=0.1, M=min(100, k)), learns=False),
        "KLMatching": on_logits("klm", lambda: peer.KLMatching(None)),
        "ViM": on_features("vim", lambda: peer.ViM(None, d=dim, w=weight, b=bias)),
        "KNN": on_features("knn", lambda: peer.KNN(None, k=neighbours)),
        "NNGuide": on_features("nnguide", lambda: peer.NNGuide(identity, head, k=10)),
        "fDBD": on_features("fdbd", lambda: peer.fDBD(identity, head)),
        "NCI": on_features("nci", lambda: peer.NCI(identity, head, alpha=1e-4)),
        "Mahalanobis": on_features("mds", lambda: peer.Mahalanobis(None)),
        "RMD": on_features("rmds", lambda: peer.RMD(None)),
        "DICE": on_features(f"dice:p={100 * p:g}", lambda: peer.DICE(None, weight, bias, p=p)),
        "SHE": on_features("she", lambda: peer.SHE(identity, head)),
        "ReAct": on_maps("react", lambda: peer.ReAct(identity, head, percentile=0.99), learns=True),
        "ASH-S": on_maps("ash-s", lambda: peer.ASH(identity, pooled(head), "ash-s", 0.9), shape=(1, 1)),
        "ASH-B": on_maps("ash-b", lambda: peer.ASH(identity, pooled(head), "ash-b", 0.9), shape=(1, 1)),
        "ASH-P": on_maps("ash-p", lambda: peer.ASH(identity, pooled(head), "ash-p", 0.9), shape=(1, 1)),
        "SCALE": on_maps("scale", lambda: peer.SCALE(identity, pooled(head), 0.85), shape=(1, 1)),
        "LTS": on_features("lts", lambda: peer.LTS(None, head, 0.05), learns=False),
    }


def pooled(head: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """Its shaping detectors take feature maps; ours of one pixel are the pooled features themselves."""
    return lambda maps: head(maps.flatten(1))


def on_logits(ours: str, make: Callable[[], Any], *, learns: bool = True) -> Method:
    made = make()

    def fit(tensors: Tensors) -> object:
        return made.fit_logits(tensors.fit_logits, tensors.fit_labels) if learns else None

    return Method(ours, lambda tensors, rows: made.predict_logits(tensors.logits[rows]), fit, sign=-1)


def on_features(ours: str, make: Callable[[], Any], *, learns: bool = True) -> Method:
    held: list[Any] = []

    def fit(tensors: Tensors) -> object:
        held[:] = [make()]
        return held[0].fit_features(tensors.fit_features, tensors.fit_labels) if learns else None

    return Method(ours, lambda tensors, rows: held[0].predict_features(tensors.features[rows]), fit, sign=-1)


def on_maps(ours: str, make: Callable[[], Any], *, shape: tuple[int, ...] = (), learns: bool = False) -> Method:
    made = make()

    def fit(tensors: Tensors) -> object:
        if not learns:
            return None
        return made.fit(DataLoader(TensorDataset(tensors.fit_features, tensors.fit_labels), batch_size=1024))

    def score(tensors: Tensors, rows: slice) -> Tensor:
        features = tensors.features[rows]
        scores: Tensor = made.predict_feature_maps(features.reshape(*features.shape, *shape))
        return scores

    return Method(ours, score, fit, sign=-1)
