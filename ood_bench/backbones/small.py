"""Small networks whose published checkpoints name their tensors in their own way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut; the names of the tensors are OpenOOD's."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.shortcut = nn.Sequential()
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, images: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(images))


class ResNet18For32(nn.Module):
    """ResNet-18 for 32x32 images: a 3x3 stem without pooling, four stages, 512 features."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = (64, 64, 128, 256, 512)
        for stage in range(1, 5):
            blocks = (
                Block(widths[stage - 1], widths[stage], 1 if stage == 1 else 2),
                Block(widths[stage], widths[stage], 1),
            )
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(images)))
        for stage in range(1, 5):
            inner = self.get_submodule(f"layer{stage}")(inner)
        logits: Tensor = self.fc(inner.mean(dim=(2, 3)))
        return logits


class ConvNet(nn.Module):
    """The 28x28 network of Outlier Exposure: activation x * sigmoid(1.702 x), 50 features."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        inner = _smooth(functional.max_pool2d(self.conv1(images), 2))
        inner = _smooth(functional.max_pool2d(self.conv2(inner), 2))
        logits: Tensor = self.fc2(_smooth(self.fc1(inner.flatten(1))))
        return logits


def make_small(architecture: str, n_classes: int) -> nn.Module:
    """A network of that name with fresh weights."""
    if architecture == "resnet18_32x32":
        return ResNet18For32(n_classes)
    if architecture == "resnet18_224x224":
        model: nn.Module = resnet18(num_classes=n_classes)
        return model
    if architecture == "convnet":
        return ConvNet(n_classes)
    raise ValueError(architecture)


def _smooth(inner: Tensor) -> Tensor:
    return inner * torch.sigmoid(1.702 * inner)
