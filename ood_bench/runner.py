"""One run: which scores are wanted, which are in the store already, and the rest fitted, scored and kept."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from ood_bench.bank.base import Bank
from ood_bench.bank.heads import head_sha256
from ood_bench.engine import Learning, Refusal, Scores, fit_all, score_bank
from ood_bench.errors import CannotScore
from ood_bench.fitting import Fitted
from ood_bench.material import Material
from ood_bench.registry import SCORERS, fit_arguments
from ood_bench.requirements import describe, missing
from ood_bench.specs import Spec, parse_spec
from ood_bench.store.records import Provenance, Run, ScoreKey, ScoreRecord, Skipped, new_run_id, sha256_of_scores
from ood_bench.store.store import Store
from ood_bench.stream import Stream
from ood_bench.types import FIT, FIT_LABELS, HEAD, VAL, VAL_LABELS, Info

ALL = "all"


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is done: `recompute` scores anew what the store has (and compares); `profile` is named in records."""

    recompute: bool = False
    profile: str | None = None
    tuned_on: str | None = None
    request: Mapping[str, object] | None = None
    progress: Callable[[str, int, int], None] = lambda set_name, done, total: None


def every_spec() -> list[Spec]:
    """What `--scorer all` means: every scorer with its defaults, every rectifier before the energy score."""
    return [parse_spec(name) for name in SCORERS.names()]


def execute(material: Material, specs: Sequence[Spec], store: Store, stream: Stream, options: Options) -> Run:
    """Fill the store with the scores of all specs for all scored banks, and return (and keep) the run that says so."""
    run = score_all(material, specs, store, stream, options)
    store.put_run(run)
    return run


def score_all(material: Material, specs: Sequence[Spec], store: Store, stream: Stream, options: Options) -> Run:
    """The same, and the run is not kept yet: for those who add to it what they conclude from its scores."""
    info = describe(material.learning, material.scored.values())
    wanted, refused = _resolve(specs, info, material.learning)
    work = _Work(material, store, stream, options, info)
    todo = {spec: [name for name in material.scored if not work.is_kept(spec, name)] for spec in wanted}
    fits = fit_all([spec for spec, names in todo.items() if names], material.learning, info, stream)
    refused.update({(str(spec), None): refusal for spec, refusal in fits.refused.items()})
    shared: dict[str, object] = {}
    for name, bank in material.scored.items():
        fitted = [one for spec, one in fits.fitted.items() if name in todo[spec]]
        if fitted or not work.has_outcomes(bank):
            found, dropped, shared[name] = work.score(name, bank, fitted)
            refused.update({(str(spec), name): refusal for spec, refusal in dropped.items()})
            for spec, scores in found.items():
                work.keep(fits.fitted[spec], name, bank, scores)
    return Run(
        id=new_run_id(),
        time=_now(),
        suite=material.suite.name,
        model=material.model,
        model_seed=material.model_seed,
        banks={name: bank.sha256 for name, bank in material.banks.items()},
        head_sha256=work.head_sha256,
        request=options.request or {},
        records=tuple(key for spec in wanted for name in material.scored if (key := work.kept(spec, name))),
        skipped=_reasons(material, refused, failed=False),
        failed=_reasons(material, refused, failed=True),
        seconds={
            "fit": [
                {"question": done.question, "split": done.split, "seconds": done.seconds, "used_by": list(done.used_by)}
                for done in fits.passes
            ],
            "score": shared,
        },
    )


class _Work:
    """The keys of a run's scores, and the way of new ones into the store."""

    def __init__(self, material: Material, store: Store, stream: Stream, options: Options, info: Info) -> None:
        self.material, self.store, self.stream, self.options, self.info = material, store, stream, options, info
        head = material.learning.head
        self.head_sha256 = None if head is None else head_sha256(head)
        self._kept: dict[tuple[Spec, str], str] = {}

    def key(self, spec: Spec, bank: Bank) -> ScoreKey:
        fit, val = _learns_from(spec)
        learning = self.material.learning
        return ScoreKey(
            scorer=spec.name,
            version=spec.version,
            params=spec.params,
            bank_sha256=bank.sha256,
            fit_split=spec.fit_split if fit or val else None,
            seed=_seed(spec),
            fit_sha256=learning.fit.sha256 if fit and learning.fit is not None else None,
            val_sha256=learning.val.sha256 if val and learning.val is not None else None,
            head_sha256=self.head_sha256 if _reads_head(spec) else None,
        )

    def is_kept(self, spec: Spec, name: str) -> bool:
        """Whether the store has these scores already, so that they need not be computed."""
        key = self.key(spec, self.material.scored[name]).sha256
        if self.options.recompute or self.store.get(key) is None:
            return False
        self._kept[spec, name] = key
        return True

    def kept(self, spec: Spec, name: str) -> str | None:
        return self._kept.get((spec, name))

    def has_outcomes(self, bank: Bank) -> bool:
        return "logits" not in bank.inputs or self.store.outcomes(bank.sha256) is not None

    def score(
        self, name: str, bank: Bank, fitted: Sequence[Fitted]
    ) -> tuple[dict[Spec, Scores], dict[Spec, Refusal], dict[str, float]]:
        done = 0

        def progress(rows: int) -> None:
            nonlocal done
            done += rows
            self.options.progress(name, done, bank.n)

        result = score_bank(fitted, bank, self.material.learning, self.info, self.stream, progress)
        if result.predicted is not None:
            self.store.put_outcomes(bank.sha256, result.predicted, np.asarray(bank.read("labels"), dtype=np.int64))
        return result.scores, result.refused, result.shared_seconds

    def keep(self, fitted: Fitted, name: str, bank: Bank, scores: Scores) -> None:
        spec = fitted.spec
        key = self.key(spec, bank)
        record = ScoreRecord(
            key=key,
            spec=str(spec),
            model=self.material.model,
            model_seed=self.material.model_seed,
            set=name,
            n=len(scores.values),
            scores_sha256=sha256_of_scores(scores.values),
            score_dtype=str(scores.values.dtype),
            provenance=(provenance(self.stream.device),),
            list_sha256=self.material.suite.sets[name].list_sha256 if name in self.material.suite.sets else None,
            origin=spec.origin,
            plugin_sha256=spec.plugin_sha256,
            marks=scores.marks,
            learned=fitted.learned or None,
            fit_seconds=fitted.seconds,
            score_seconds=scores.seconds,
            profile=self.options.profile,
            tuned_on=self.options.tuned_on,
        )
        self.store.put(record, scores.values)
        self._kept[spec, name] = key.sha256


def provenance(device: torch.device) -> Provenance:
    """Where and with what scores are being computed."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return Provenance(
        device=f"{device.type} ({name})",
        host=platform.node(),
        program=_program(),
        time=_now(),
        versions={"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    )


@functools.cache
def _program() -> str:
    """The version of ood-bench, which the package's metadata tells slowly."""
    return version("ood-bench")


def _resolve(
    specs: Iterable[Spec], info: Info, learning: Learning
) -> tuple[list[Spec], dict[tuple[str, str | None], Refusal]]:
    """Parameters filled for these banks. A value the user gave that cannot apply is a failure, a default's is a skip."""
    resolved: dict[Spec, None] = {}
    refused: dict[tuple[str, str | None], Refusal] = {}
    for spec in specs:
        lacking = missing(spec, info, learning)
        if lacking is not None:  # said first, with the flag that helps: without shapes parameters mean nothing
            refused[str(spec), None] = Refusal(lacking, failed=False)
            continue
        try:
            resolved[spec.resolved(info)] = None
        except (CannotScore, AssertionError) as error:
            reason = str(error) or "needs shapes that the banks do not have"
            refused[str(spec), None] = Refusal(reason, failed=spec.is_changed)
        except Exception as error:  # a plug-in's own `resolve`: it must not lose the others
            refused[str(spec), None] = Refusal(f"{type(error).__name__}: {error}", failed=True)
    return list(resolved), refused


def _learns_from(spec: Spec) -> tuple[bool, bool]:
    """Whether the fit bank and the val bank can change the scores. Where a part does not say, both can."""
    fit = val = False
    for part in spec.parts:
        if not hasattr(part.entry.cls, "fit"):
            continue
        needs = set(part.entry.needs)
        arguments = fit_arguments(part.entry.cls)
        on_fit, on_val = bool(needs & {FIT, FIT_LABELS}), bool(needs & {VAL, VAL_LABELS}) or "val" in arguments
        silent = not on_fit and not on_val
        fit, val = fit or on_fit or silent, val or on_val or silent
    return (False, True) if spec.fit_split == "val" and (fit or val) else (fit, val)


def _reads_head(spec: Spec) -> bool:
    return HEAD in spec.needs or any("head" in fit_arguments(part.entry.cls) for part in spec.parts)


def _seed(spec: Spec) -> int | None:
    seed: Any = spec.scorer.values.get("seed")
    return seed if isinstance(seed, int) else None


def _reasons(
    material: Material, refused: Mapping[tuple[str, str | None], Refusal], *, failed: bool
) -> tuple[Skipped, ...]:
    return tuple(
        Skipped(scorer=spec, model=material.model, suite=material.suite.name, reason=refusal.reason, set=name)
        for (spec, name), refusal in refused.items()
        if refusal.failed == failed
    )


def _now() -> str:
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def with_profile(specs: Sequence[Spec], profile: Mapping[str, Spec]) -> list[Spec]:
    """Specs that name no parameter of their own, with the profile's parameters and split instead of the defaults."""
    return [spec if spec.is_changed else replace(profile.get(spec.name, spec)) for spec in specs]
