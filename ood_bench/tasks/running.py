"""The tasks of a run that ask banks: which methods are asked about which sets, and what the run answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ood_bench.bank.base import Bank
from ood_bench.errors import RequestError
from ood_bench.material import Material
from ood_bench.store.records import Run
from ood_bench.store.store import Store
from ood_bench.stream import Stream
from ood_bench.tasks.abstaining import Loadings
from ood_bench.tasks.answers import Answers, TaskRun
from ood_bench.tasks.asking import Given, Second, ask_all
from ood_bench.tasks.calibrators import KINDS, Calibration
from ood_bench.tasks.estimating import Estimation
from ood_bench.tasks.methods import Method


@dataclass(frozen=True)
class Wanted:
    """What a run asks banks: the tasks, and the estimators of `accuracy`. `second` names another checkpoint."""

    tasks: Sequence[str]
    estimators: Sequence[Estimation] = ()
    second: str | None = None
    loadings: Sequence[Loadings] = (Loadings(),)
    recompute: bool = False


def answer_tasks(wanted: Wanted, material: Material, run: Run, store: Store, stream: Stream) -> None:
    """Ask every method of the wanted tasks about its sets, and keep the answers and what the run could not answer."""
    second = find_second(wanted.second, run, store) if "accuracy" in wanted.tasks else None
    given: dict[str, Given] = {}
    for task in wanted.tasks:
        methods, targets = _questions(task, wanted, material)
        given |= ask_all(methods, targets, material, store, stream, second=second, recompute=wanted.recompute)
    if given:
        Answers(store.home).put_run(
            TaskRun(
                run=run.id,
                suite=run.suite,
                model=run.model,
                model_seed=run.model_seed,
                answers={task: tuple(one.answers) for task, one in given.items()},
                unanswered={task: tuple(one.unanswered) for task, one in given.items()},
            )
        )


def is_possible(task: str, material: Material) -> bool:
    """Whether the banks have what a task that nobody asked for by name is about."""
    if task == "abstention":
        return any(bank.abstain_index is not None for bank in material.scored.values())
    return True


def find_second(asked: str | None, run: Run, store: Store) -> Second | None:
    """The checkpoint to compare with: the one asked for as MODEL[@SEED], else the next seed of the same model.

    Next as the authors of COT have it: seeds in order, the first after the last. None where no other was run.
    """
    others: dict[tuple[str, int | None], Mapping[str, str]] = {}
    for one in store.runs():
        if one.suite == run.suite and (one.model, one.model_seed) != (run.model, run.model_seed):
            others[one.model, one.model_seed] = one.banks
    names = {_name(*place): place for place in others}
    if asked is not None:
        if asked not in names:
            there = ", ".join(sorted(names)) or "none"
            raise RequestError(
                f"--second names a checkpoint whose run of {run.suite} is kept, got {asked!r}; there are: {there}"
            )
        return Second(asked, others[names[asked]])
    seeds = sorted(seed for model, seed in others if model == run.model and seed is not None)
    if run.model_seed is None or not seeds:
        return None
    following = next((seed for seed in seeds if seed > run.model_seed), seeds[0])
    return Second(_name(run.model, following), others[run.model, following])


def _name(model: str, seed: int | None) -> str:
    return model if seed is None else f"{model}@{seed}"


def _questions(task: str, wanted: Wanted, material: Material) -> tuple[Sequence[Method], Mapping[str, Bank]]:
    """The methods of a task, and the banks that they are asked about."""
    suite, scored = material.suite, material.scored
    shifted = [name for names in suite.shifted.values() for name in names]
    known = {name: scored[name] for name in (suite.test, *shifted) if name is not None and name in scored}
    if task == "accuracy":
        return wanted.estimators, known
    if task == "calibration":
        return [Calibration(kind) for kind in KINDS], known
    if task == "abstention":
        return wanted.loadings, known
    raise AssertionError(f"{task} asks no bank")
