"""What a run works on: a suite, one checkpoint, and its banks, found in a home or given in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ood_bench.bank.base import Bank
from ood_bench.bank.catalog import find_bank
from ood_bench.bank.heads import has_head, read_head
from ood_bench.bank.reader import open_bank
from ood_bench.engine import Learning
from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.suites import Suite


@dataclass(frozen=True)
class Material:
    """Banks by role: what scorers learn from, what is scored, and the sets of the suite that have no bank."""

    suite: Suite
    model: str
    model_seed: int | None
    learning: Learning
    scored: Mapping[str, Bank]
    absent: tuple[str, ...] = field(default=())

    @property
    def banks(self) -> dict[str, Bank]:
        """Every bank by the name of its set."""
        learnt_from = [bank for bank in (self.learning.fit, self.learning.val) if bank is not None]
        return {**self.scored, **{bank.set: bank for bank in learnt_from}}


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
    scored_names = [name for role, name in suite.members if role not in ("fit", "val")]
    scored = {name: opened[name] for name in scored_names if name in opened}
    if not scored or (suite.test is not None and suite.test not in scored):
        raise RequestError(_how_to_get(suite, model, absent))
    learning = Learning(head, opened.get(suite.fit or ""), opened.get(suite.val or ""))
    return Material(suite, model, model_seed, learning, scored, tuple(absent))


def _how_to_get(suite: Suite, model: str, absent: list[str]) -> str:
    lines = [
        f"no banks of {model} for suite {suite.name}; sets without one: {', '.join(absent)}.",
        f"Make them from images:  ood-bench extract --suite {suite.name} --model {model} --data-root DIR",
    ]
    if suite.origin == "home":
        lines[-1] = f"Import them again:  ood-bench import DIR --suite {suite.name} --model {model} ..."
    sources = [f"  {name}: {suite.sets[name].source}" for name in absent if suite.sets[name].source]
    return "\n".join([*lines, *(["What to get, and where:"] if sources else []), *sources])
