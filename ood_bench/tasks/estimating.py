"""Estimators as they are asked for: `name[:param=value,...]`, and their conversation with one target set."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ood_bench.bank.base import Bank
from ood_bench.conversation import Ask
from ood_bench.errors import RequestError
from ood_bench.fitting import fit_part
from ood_bench.parameters import Scalar, build
from ood_bench.registry import ESTIMATORS
from ood_bench.specs import Part
from ood_bench.tasks.methods import Answered
from ood_bench.types import Head, Info

ALL = "all"


@dataclass(frozen=True, slots=True)
class Estimation:
    """One estimator with its parameters, as a method of the task `accuracy`."""

    part: Part
    task: str = "accuracy"

    @property
    def name(self) -> str:
        return self.part.entry.name

    @property
    def spec(self) -> str:
        return str(self.part)

    @property
    def version(self) -> str:
        sha256 = self.part.entry.plugin_sha256
        return str(self.part.entry.version) + (f".{sha256[:12]}" if sha256 else "")

    @property
    def params(self) -> Mapping[str, Scalar]:
        return self.part.values

    @property
    def needs(self) -> tuple[str, ...]:
        return self.part.entry.needs

    @property
    def origin(self) -> str:
        return self.part.entry.origin

    @property
    def plugin_sha256(self) -> str | None:
        return self.part.entry.plugin_sha256

    def resolved(self, info: Info) -> Estimation:
        return replace(self, part=self.part.resolved(info))

    def fit(self, head: Head | None, info: Info) -> Generator[Ask, Any, Any]:
        return fit_part(self.part, head, info)

    def ask(self, fitted: Any, target: Bank) -> Generator[Ask, Any, Answered]:
        """The estimate; whether it is an accuracy itself goes with it."""
        said = yield from fitted.estimate()
        value, learned = said if isinstance(said, tuple) else (said, {})
        estimate = float(value)
        if estimate - estimate != 0:  # NaN or infinite
            raise ValueError(f"{self.spec} gave {estimate} for {target.set} with {target.model}, not a finite number")
        return Answered({"estimate": estimate}, {**learned, "on_accuracy_scale": self.on_accuracy_scale})

    @property
    def on_accuracy_scale(self) -> bool:
        """Whether the estimate is an accuracy; otherwise it only rises with it."""
        return bool(getattr(self.part.entry.cls, "on_accuracy_scale", False))


def parse_estimator(text: str) -> Estimation:
    """Read `mano:branch=taylor`, `cot`, ...; RequestError says what is wrong and what there is."""
    name, _, rest = text.strip().partition(":")
    params: dict[str, str] = {}
    for item in rest.split(",") if rest else []:
        key, equals, value = item.partition("=")
        if not (key and equals and value) or key in params:
            raise RequestError(f"{text}: parameters are written name=value,name=value, each once, got {item!r}")
        params[key] = value
    entry = ESTIMATORS.get(name)
    return Estimation(Part(entry, build(entry.cls, params, entry.name)))


def every_estimator() -> list[Estimation]:
    """Every estimator with its defaults, and the variants that its class wants to stand beside them."""
    return [
        parse_estimator(f"{name}:{variant}" if variant else name)
        for name in ESTIMATORS.names()
        for variant in ("", *getattr(ESTIMATORS.entries[name].cls, "variants", ()))
    ]


def chosen_estimators(asked: str | Iterable[str]) -> list[Estimation]:
    """The estimators asked for; `all` stands for every one."""
    found: list[Estimation] = []
    for text in [asked] if isinstance(asked, str) else asked:
        found += every_estimator() if text == ALL else [parse_estimator(text)]
    return list(dict.fromkeys(found))
