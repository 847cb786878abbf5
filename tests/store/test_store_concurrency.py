"""Many processes write one store at once without locks, and one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from writers import number_of, scores_of

from ood_bench.home import Home
from ood_bench.store.integrity import check_store
from ood_bench.store.store import Store

WRITERS, EACH = 8, 200


def test_eight_writers_and_one_killed_leave_every_finished_record_whole(tmp_path: Path) -> None:
    program = Path(__file__).parent / "writers.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    writers = [
        subprocess.Popen(
            [sys.executable, str(program), str(tmp_path), str(1000 * (index + 1)), str(EACH)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for index in range(WRITERS)
    ]
    victim = writers[0]
    assert victim.stdout is not None
    finished = {int(victim.stdout.readline()) for _ in range(20)}
    victim.send_signal(signal.SIGKILL)
    finished |= {int(line) for line in victim.stdout.read().splitlines()}  # lines that were buffered already
    outputs = [writer.communicate() for writer in writers]
    assert victim.returncode == -signal.SIGKILL
    assert [(writer.returncode, errors) for writer, (_, errors) in zip(writers[1:], outputs[1:], strict=True)] == [
        (0, "")
    ] * (WRITERS - 1)
    finished |= {int(line) for output, _ in outputs for line in output.splitlines()}
    assert finished >= {number_of(1000 * (index + 1), step) for index in range(1, WRITERS) for step in range(EACH)}

    store = Store(Home(tmp_path))
    records = {int(record.set.removeprefix("set-")): record for record in store.records()}
    assert set(records) >= finished
    assert len(records) - len(finished) <= 1  # the victim may have finished one that it could not announce
    for number, record in records.items():
        np.testing.assert_allclose(store.scores(record), scores_of(abs(number)), rtol=1e-5)
    temporary = [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert len(temporary) <= 2  # what the victim was writing when it died
    health = check_store(Home(tmp_path))
    assert (health.damaged, health.records) == ((), len(records))
    assert set(temporary) <= set(health.leftovers)
