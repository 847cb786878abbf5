"""CLIP as a classifier: the head is the text features of the classes, the logits are cosines without a scale."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ood_bench.errors import RequestError
from ood_bench.shipped import DATA, shipped_files

PLACE = "{}"  # where a template takes the class name


class ZeroShot(nn.Module):
    """Image -> L2-normalised embedding -> cosine with each class: the weight is the text features, the bias zero."""

    def __init__(self, encode: Callable[[Tensor], Tensor], text: Tensor) -> None:
        super().__init__()
        self.encode = encode
        self.head = nn.Linear(text.shape[1], text.shape[0], bias=False, device=text.device)
        with torch.no_grad():
            self.head.weight.copy_(text)

    def forward(self, images: Tensor) -> Tensor:
        embedded = functional.normalize(self.encode(images).float(), dim=1)
        cosines: Tensor = self.head(embedded)
        return cosines


class ImageTower(nn.Module):
    """The half of a CLIP model that sees images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        encoded: Tensor = self.model.encode_image(images)  # type: ignore[operator]  # open_clip's own method
        return encoded


@torch.no_grad()
def text_features(
    encode: Callable[[Tensor], Tensor],
    tokenize: Callable[[list[str]], Tensor],
    names: Sequence[str],
    templates: Sequence[str],
) -> Tensor:
    """One unit vector for each class: the normalised mean of the normalised embeddings of its prompts."""
    for template in templates:
        if template.count(PLACE) != 1:
            raise RequestError(
                f"a prompt says once where the class name goes, as in 'a photo of a {{}}.'; got {template!r}"
            )
    rows = []
    for name in names:
        prompts = [template.replace(PLACE, name) for template in templates]
        embedded = functional.normalize(encode(tokenize(prompts)).float(), dim=1)
        rows.append(functional.normalize(embedded.mean(dim=0), dim=0))
    return torch.stack(rows)


def prompts_in_words(names: Sequence[str], templates: Sequence[str]) -> str:
    """What a bank's identity says of the prompts; equal prompts give equal words."""
    digest = hashlib.sha256("\n".join([*templates, "", *names]).encode()).hexdigest()
    shown = repr(templates[0]) if len(templates) == 1 else f"{len(templates)} templates"
    return f"zero-shot with {shown} over {len(names)} classes ({digest[:12]}), cosines"


def class_folders(label_space: str) -> list[str] | None:
    """The names of the class folders of a label space in the order of the labels, where a list of them ships."""
    file = shipped_files("lists", ".classes.txt").get(label_space)
    return None if file is None else file.read_text(encoding="utf-8").split("\n")[:-1]


def imagenet_names(label_space: str, names: Sequence[str]) -> list[str]:
    """English names of the classes of a label space within ImageNet; `names` are those of all 1000 classes in order."""
    folders, every = class_folders(label_space), class_folders("imagenet-1k")
    if folders is None or every is None or not set(folders) <= set(every):
        known = ", ".join(sorted(shipped_files("lists", ".classes.txt")))
        raise RequestError(
            f"class names are known for ImageNet's label spaces ({known} in {DATA / 'lists'}), not for {label_space!r}; "
            "give them with --class-names FILE, one to a line in the order of the labels"
        )
    at = {folder: names[index] for index, folder in enumerate(every)}
    return [at[folder] for folder in folders]
