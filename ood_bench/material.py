"""What a run works on: a suite, one checkpoint, and its banks, found in a home or given in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ood_bench.backbones.presets import presets
from ood_bench.bank.base import Bank
from ood_bench.bank.catalog import find_bank
from ood_bench.bank.heads import has_head, read_head
from ood_bench.bank.reader import open_bank
from ood_bench.engine import Learning
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.suite_types import VAL_OOD
from ood_bench.suites import Suite

_SHOWN = 6  # sets and instructions named in a message


@dataclass(frozen=True)
class Material:
    """Banks by role: what scorers learn from, what is scored, what parameters are chosen on, and the sets of the suite
    that have no bank."""

    suite: Suite
    model: str
    model_seed: int | None
    learning: Learning
    scored: Mapping[str, Bank]
    absent: tuple[str, ...] = field(default=())
    val_ood: Mapping[str, Bank] = field(default_factory=dict)

    @property
    def banks(self) -> dict[str, Bank]:
        """Every bank by the name of its set."""
        learnt_from = [bank for bank in (self.learning.fit, self.learning.val) if bank is not None]
        return {**self.scored, **self.val_ood, **{bank.set: bank for bank in learnt_from}}


def find_material(home: Home, suite: Suite, model: str, model_seed: int | None) -> Material:
    """Open the banks of one checkpoint for a suite.

    Raises RequestError with the command that makes them where the ID test set or all other scored sets have none.
    """
    folder = home.head_folder(model, model_seed, suite.label_space)
    head = read_head(folder) if has_head(folder) else None
    opened: dict[str, Bank] = {}
    absent = []
    for _, name in suite.members:
        found = find_bank(home, model, model_seed, name, suite.sets[name].list_sha256, label_space=suite.label_space)
        if found is None:
            absent.append(name)
        else:
            opened[name] = open_bank(found, head)
    scored_names = [name for role, name in suite.members if role not in ("fit", "val", VAL_OOD)]
    scored = {name: opened[name] for name in scored_names if name in opened}
    if not scored or (suite.test is not None and suite.test not in scored):
        raise RequestError(_how_to_get(suite, model, model_seed, absent))
    val_ood = {name: opened[name] for name in suite.val_ood if name in opened}
    learning = Learning(head, opened.get(suite.fit or ""), opened.get(suite.val or ""))
    return Material(suite, model, model_seed, learning, scored, tuple(absent), val_ood)


def _how_to_get(suite: Suite, model: str, model_seed: int | None, absent: list[str]) -> str:
    """The commands that lead to the banks, in their order, with DIR for the folder of the images."""
    lines = [f"no banks of {model} for suite {suite.name}; sets without one: {_some(absent)}."]
    specs = [suite.sets[name] for name in absent]
    if suite.origin == "home" and not any(spec.images for spec in specs):
        return "\n".join(
            [
                *lines,
                f"Import tensors that you have:  ood-bench import TENSORS --suite {suite.name} --model {model} ...",
                "or make the banks from images:  ood-bench extract --as "
                f"{suite.name} --model {model} --data-root DIR --set NAME=FOLDER ...",
            ]
        )
    preset = presets().get(model)
    seeded = preset is not None and preset.seeds is not None
    seed = f" --model-seed {model_seed if model_seed is not None else 0}" if seeded or model_seed is not None else ""
    where = f"--suite {suite.name} --data-root DIR"
    lines.append("Make them from images, which lie below a folder DIR of yours:")
    if any(spec.downloads or spec.images.startswith("torchvision:") for spec in specs):
        lines.append(f"  ood-bench datasets get {where}        (fetches what is free to fetch)")
    if any(spec.per_class for spec in specs):
        lines.append(f"  ood-bench datasets build {where}      (draws the lists that are made by a rule)")
    lines.append(f"  ood-bench datasets status {where}     (says what is there and what is missing)")
    given = " --weights FOLDER" if preset is not None and preset.by_hand else ""
    lines.append(f"  ood-bench extract --suite {suite.name} --model {model}{seed}{given} --data-root DIR")
    lines.append(f"  ood-bench run --suite {suite.name} --model {model}{seed}")
    lines.append("With a part of the images, add --as NAME to extract: what there is becomes a suite of your own.")
    if preset is not None:
        weights = preset.by_hand or f"{preset.where} (fetched by extract; --weights FILE where you have them)"
        lines.append(f"Weights of {model}: {weights}")
    by_hand = list(dict.fromkeys(spec.by_hand for spec in specs if spec.by_hand and not spec.downloads))
    if by_hand:
        lines.append("By hand:")
        lines += [f"  {words}" for words in by_hand[:_SHOWN]]
        if len(by_hand) > _SHOWN:
            lines.append(f"  and {len(by_hand) - _SHOWN} more, which ood-bench datasets status names")
    return "\n".join(lines)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
