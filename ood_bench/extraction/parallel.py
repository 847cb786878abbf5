"""Several devices: one process for each, every one writing whole units that the bank's writer takes in their order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ood_bench.backbones.opening import Wish, open_backbone
from ood_bench.bank.heads import save_tensors
from ood_bench.errors import OodBenchError, RequestError
from ood_bench.extraction.forward import cut_of
from ood_bench.extraction.listing import ImageList
from ood_bench.extraction.options import Options
from ood_bench.extraction.running import Batch, Ready, computed
from ood_bench.extraction.units import Units
from ood_bench.files import write_atomically, write_json
from ood_bench.home import Home

AHEAD = 2  # finished units of one device that may wait to be taken
_POLL = 0.05  # seconds


@dataclass(frozen=True, eq=False)
class Order:
    """What a process needs to know; everything in it can be sent to another process."""

    model: str
    wish: Wish
    home: Home
    label_space: str
    images: ImageList
    options: Options
    folder: Path
    threads: int


def computed_by_several(order: Order, units: Units, begin: int) -> Iterator[Batch]:
    """The rows of all units from `begin` on, in order. Units that a cut-off call has left behind are taken up."""
    count = len(order.options.hows)
    context = torch.multiprocessing.get_context("spawn")
    room = [context.Semaphore(AHEAD) for _ in range(count)]
    processes: list[SpawnProcess] = []
    order.folder.mkdir(parents=True, exist_ok=True)
    try:
        for rank in range(count):
            process = context.Process(target=_work, args=(order, rank, units, begin, room[rank]), daemon=False)
            process.start()
            processes.append(process)
        for unit in range(begin, units.count):
            rank = (unit - begin) % count
            path = _path(order.folder, unit)
            while not path.is_file():
                if not processes[rank].is_alive() and not path.is_file():
                    raise _failure(order, rank)
                time.sleep(_POLL)
            yield _read(path, units.images(unit).stop)
            path.unlink()
            room[rank].release()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()
    for leftover in order.folder.iterdir():
        leftover.unlink()
    order.folder.rmdir()


def spool_of(folder: Path, settings: str) -> Path:
    """Where the processes put their units: hidden beside the bank, one folder for each kind of bytes."""
    return folder.parent / "heads" / f".{folder.name}.{settings[:12]}.units"


def _work(order: Order, rank: int, units: Units, begin: int, room: Semaphore) -> None:
    """One process: every unit of its own, in order."""
    try:
        torch.set_num_threads(order.threads)
        backbone = open_backbone(order.model, order.home, order.wish)
        ready = Ready(backbone, cut_of(backbone), order.label_space)
        # the processes that read images are shared out too
        options = replace(order.options, workers=order.options.workers // len(order.options.hows))
        for unit in range(begin + rank, units.count, len(order.options.hows)):
            room.acquire()
            path = _path(order.folder, unit)
            if not path.is_file():
                how = order.options.hows[rank]
                _write(path, list(computed(ready, order.images, options, how, units, range(unit, unit + 1))))
    except OodBenchError as error:
        write_json(_error_path(order.folder, rank), {"error": str(error)})


def _write(path: Path, batches: list[Batch]) -> None:
    names = {name for batch in batches for name in batch.tensors}
    tensors = {name: torch.cat([batch.tensors[name] for batch in batches if batch.tensors]) for name in names}
    tensors["positions"] = torch.tensor([one for batch in batches for one in batch.positions], dtype=torch.int64)
    notes = {"bad": json.dumps([bad for batch in batches for bad in batch.bad])}
    write_atomically(path, lambda temporary: save_tensors(temporary, tensors, notes))


def _read(path: Path, end: int) -> Batch:
    with safe_open(path, framework="pt") as file:
        tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        bad = tuple((int(position), str(reason)) for position, reason in json.loads(file.metadata()["bad"]))
    positions = tuple(tensors.pop("positions").tolist())
    return Batch(positions, tensors, bad, end)


def _failure(order: Order, rank: int) -> RequestError:
    device, noted = order.options.hows[rank].device, _error_path(order.folder, rank)
    if noted.is_file():
        reason = json.loads(noted.read_text(encoding="utf-8"))["error"]
        noted.unlink()
        return RequestError(reason)
    return RequestError(f"the process for {device} ended before its work was done; repeat the command to go on")


def _path(folder: Path, unit: int) -> Path:
    return folder / f"unit-{unit:05d}.safetensors"


def _error_path(folder: Path, rank: int) -> Path:
    return folder / f"error-{rank}.json"
