"""Speed against the machine's own limits and against peers: `python -m benchmarks`. See benchmarks/README.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks import clock, machine, measures, ours, report, streamed
from benchmarks.bounds import bounds
from benchmarks.peers import compare
from benchmarks.problem import IN_MEMORY, SIZES, Problem
from ood_bench.registry import load_all
from ood_bench.waiting import SPINS, wait_briefly

RESULTS = Path(__file__).parent / "results"
NEIGHBOURS = ("knn", "nnguide", "relation")
HEAVY = ("weiper",)  # a hundred heads: minutes, at every size
NEEDING_MORE = ("gl-mcm", "neglabel", "mutual-information", "expected-entropy", "ensemble-variance", "gmm")
PARTS = ("limits", "alone", "together", "metrics", "peers")


def main() -> None:
    if SPINS not in os.environ:  # as the command line does it, before torch is there
        wait_briefly()
        os.execv(sys.executable, sys.orig_argv)
    given = arguments()
    load_all()
    with threadpool_limits(given.threads):
        torch.set_num_threads(given.threads)
        measure(given)


def measure(given: argparse.Namespace) -> None:
    names = given.scorer or ours.every_name((*NEEDING_MORE, *(() if given.heavy else HEAVY)))
    size, measured = SIZES[given.size], commit()  # before anybody edits a file
    sections: dict[str, str] = {}
    found: dict[str, object] = {}
    if given.size in IN_MEMORY:
        in_memory(given, names, sections, found)
    else:
        sections["Streamed from disk"] = report.streamed_table(on_disk(given, names, found))
    document = {
        "schema": 1,
        "time": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "program": version("ood-bench"),
        "commit": measured,
        "command": command(given),
        "size": {"name": given.size, **asdict(size)},
        "machine": machine.name(),
        "seconds": "of the processor, one thread" if given.processor_time else f"elapsed, {given.threads} threads",
        **found,
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in sections.items())
    given.out.mkdir(parents=True, exist_ok=True)
    stem = given.out / f"{given.size}{given.name}"
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1, default=plain) + "\n")
    stem.with_suffix(".md").write_text(
        f"`{document['command']}` at {document['commit']}, {document['time']}\n\n{text}\n"
    )
    print(text)


def in_memory(given: argparse.Namespace, names: list[str], sections: dict[str, str], found: dict[str, object]) -> None:
    """Limits, every scorer alone, all together, metrics, peers."""
    size = SIZES[given.size]
    limits = machine.measure(size)
    sections[f"Machine ({size.n} x {size.d} features, {size.k} classes, {size.n_fit} fit rows)"] = report.machine_table(
        machine.name(), limits
    )
    found["limits"] = limits
    problem, stream = Problem.of(size), ours.cpu_stream(given.memory)
    if "alone" in given.part:
        rows = ours.alone(names, problem, limits, stream, given.tries)
        sections["Each scorer alone"] = report.alone_table(rows)
        found["alone"] = rows
    if "together" in given.part:
        run = ours.together(names, problem, limits, stream, max(2, given.tries // 2))
        family = ours.logit_family(ours.LOGIT_FAMILY, problem, stream, given.tries)
        select = limits.select_100 if size.k // 5 <= 100 else limits.select_all
        bound = size.n * size.k * 4 / limits.row_max + limits.logsumexp + select
        sections["All together"] = report.together_line(run, family, bound)
        found |= {"together": run, "logit_family": {"seconds": family, "bound": bound}}
    if "metrics" in given.part:
        seconds = measures.metrics()
        sections["Metrics"] = f"All OOD metrics of 45 scorers x 6 sets x 50,000 rows: {seconds:.2f} s."
        found["metrics_seconds"] = seconds
    if "peers" in given.part:
        for peer in given.peer:
            python = given.python.get(peer, sys.executable)
            versus, whole = compare.compare(
                peer, problem, stream, given.limit, given.tries, given.method, python=python
            )
            known = bounds(limits, {})
            least = {row.ours: known[row.ours.split(":")[0]].seconds(limits) for row in versus}
            title = f"Beside {peer} {compare.version_of(peer, python)}"
            sections[title] = report.peers_table(versus, whole, least)
            found[peer] = {
                "version": compare.version_of(peer, python),
                "methods": versus,
                "whole": whole,
                "bounds": least,
            }


def on_disk(given: argparse.Namespace, names: list[str], found: dict[str, object]) -> list[streamed.Streamed]:
    """All scorers but the neighbours' on the whole set, the neighbours' on its first rows."""
    with tempfile.TemporaryDirectory() as place:
        folder, size = given.folder or Path(place), SIZES[given.size]
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # what writing leaves behind ends with it
            pool.submit(streamed.write_banks, folder, size).result()
        base = clock.resident_with_torch()
        learning, test = streamed.open_banks(folder, size)
        wide = [name for name in names if name not in NEIGHBOURS]
        near = [name for name in names if name in NEIGHBOURS]
        rows = []
        if wide:
            rows.append(streamed.run(wide, learning, test, given.memory, group="all but neighbours", base=base))
        if near:
            first = streamed.SEARCHED
            rows.append(streamed.run(near, learning, test, given.memory, group="neighbours", base=base, first=first))
    found["streamed"] = rows
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="small", help="medium and large are streamed from disk")
    parser.add_argument("--scorer", action="append", help="only this scorer (repeat)")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part (repeat); default all")
    parser.add_argument(
        "--peer", action="append", choices=("pytorch-ood", "oodeel", "openood"), help="repeat; default pytorch-ood"
    )
    parser.add_argument("--method", action="append", default=[], help="only this method of the peer (repeat)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="PEER=PATH", help="a peer's own interpreter; adds the peer"
    )
    parser.add_argument("--openood", type=Path, help="path of an OpenOOD checkout; adds the peer openood")
    parser.add_argument("--heavy", action="store_true", help=f"with {', '.join(HEAVY)}")
    parser.add_argument("--memory", type=size_of, default=size_of("2GiB"), help="budget, as of `ood-bench run`")
    parser.add_argument("--folder", type=Path, help="where banks on disk are kept; default a temporary folder")
    parser.add_argument("--limit", type=float, default=150, help="seconds that one method of a peer may take")
    parser.add_argument("--tries", type=int, default=5, help="the least of so many times counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--processor-time", action="store_true", help="one thread; count its processor seconds")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--name", default="", help="added to the names of the result files")
    given = parser.parse_args()
    if given.processor_time:
        given.threads = 1
        clock.use_processor_time()
        os.environ["BENCHMARK_PROCESSOR_TIME"] = "1"
    os.environ.update({name: str(given.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")})
    given.part = given.part or list(PARTS)
    given.python = dict(said.split("=", 1) for said in given.python)
    given.peer = given.peer or ["pytorch-ood", *given.python, *(["openood"] if given.openood else [])]
    if given.openood:
        os.environ["OPENOOD_CHECKOUT"] = str(given.openood.resolve())
    return given


def size_of(text: str) -> int:
    """Bytes of `2GiB`, `512MiB` or a plain number."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


def command(given: argparse.Namespace) -> str:
    """What was typed, but for folders of the machine."""
    words = [str(word) for word in sys.argv[1:]]
    text = " ".join(["python -m benchmarks", *words])
    for folder in (given.openood, given.folder, given.out, *given.python.values()):
        text = text.replace(str(folder), "PATH") if folder is not None else text
    return text


def commit() -> str:
    """The commit of this checkout, and whether files differ from it."""
    try:
        asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not written as JSON")


if __name__ == "__main__":
    main()
