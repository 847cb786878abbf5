"""Features and head by hooks: what is linear is found exactly, what is not is refused with the reason."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ood_bench.backbones.head import find_cut, logits_of

K = 7


class TwoHeads(nn.Module):
    """The mean of two heads over two inputs, as in distilled transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.first, self.second = nn.Linear(12, 9), nn.Linear(9, K), nn.Linear(12, K, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        out: Tensor = (self.first(torch.relu(self.body(flat))) + self.second(flat)) / 2
        return out


class TokenMean(nn.Module):
    """A head at every position, averaged afterwards: linear in the mean of the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, K)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(images.flatten(2).transpose(1, 2)).mean(dim=1)
        return out


class TokenMaximum(TokenMean):
    """The maximum over positions is no linear function of anything pooled."""

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(images.flatten(2).transpose(1, 2)).amax(dim=1)
        return out


MODELS = {
    "plain": (nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, K)), ("3",)),
    "a hidden layer as wide as the classes": (
        nn.Sequential(nn.Flatten(), nn.Linear(12, K), nn.ReLU(), nn.Linear(K, K)),
        ("3",),
    ),
    "1x1 convolution": (
        nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, K, 1), nn.Flatten()),
        ("3",),
    ),
    "convolution before the pooling": (
        nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, K, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        ("2",),
    ),
    "two heads": (TwoHeads(), ("second", "first")),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_head_gives_the_logits(name: str) -> None:
    torch.manual_seed(0)
    model, layers = MODELS[name]
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    cut = find_cut(model, torch.randn(5, 3, 2, 2))
    assert cut.reason is None
    assert set(cut.layers) == set(layers)
    assert cut.error is not None
    assert cut.error <= 1e-5 * cut.largest
    assert cut.usable is not None
    assert cut.usable.n_classes == K


def test_positions_are_averaged_and_a_maximum_over_them_is_refused() -> None:
    torch.manual_seed(0)
    images = torch.randn(5, 4, 3, 3)
    assert find_cut(TokenMean(), images).reason is None
    cut = find_cut(TokenMaximum(), images)
    assert cut.usable is None
    assert cut.reason is not None
    assert cut.reason.startswith("the head is not linear: features @ W.T + b of head is off by up to ")


def test_a_network_without_a_linear_layer_keeps_its_logits_and_says_so() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    cut = find_cut(model, torch.randn(2, K, 3, 3))
    assert (cut.layers, cut.head) == ((), None)
    assert cut.reason == f"no linear layer with {K} outputs makes the logits, so there is no head"


def test_logits_are_taken_out_of_what_networks_return() -> None:
    logits = torch.randn(2, K)
    for output in (logits, (logits, None), {"logits": logits}, [logits]):
        assert logits_of(output) is logits
    with pytest.raises(TypeError, match=r"should return logits \(n, K\), got \(2, 7, 1\); wrap it in a module"):
        logits_of(logits[..., None])
