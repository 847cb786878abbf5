"""OpenOOD's leaderboard CSVs as rows: somebody else's numbers, which nobody here can verify, to be set beside ours.

Each line of theirs is a near and a far mean AUROC in percent, typed by hand; there are no sets, scores or hashes. Rows
have origin `external` and say in `reason` what is known to be wrong with them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ood_bench.errors import IntegrityError, RequestError
from ood_bench.store.row import MEAN, Row

COLUMNS = ("Training", "Postprocessor", "Near-OOD_AUROC", "Far-OOD_AUROC", "ID_Accuracy", "Outlier_Data", "Arch")
NAMES = ("cifar10", "cifar100", "imagenet200_ood", "imagenet200_fsood", "imagenet1k_ood", "imagenet1k_fsood")
UNVERIFIED = "unverified: typed by hand in OpenOOD's leaderboard, without scores"

_SEEDS = 3  # what OpenOOD's ± is taken over
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:\s*±\s*(\d+(?:\.\d+)?))?")
# Their scorer -> (the group it concerns, what is wrong). Known from their issues and from reading their code.
_KNOWN_BAD = {
    "combood": ("near", "known bad: the near-OOD figure cannot be reproduced (OpenOOD issue 307)"),
    "gram": (None, "known bad: OpenOOD's implementation is not the paper's method"),
}


@dataclass(frozen=True, slots=True)
class Beside:
    """One of their numbers beside ours, and how far apart they are (ours minus theirs)."""

    theirs: Row
    ours: Row | None

    @property
    def difference(self) -> float | None:
        if self.ours is None or self.ours.auroc is None or self.theirs.auroc is None:
            return None
        return self.ours.auroc - self.theirs.auroc


def read_openood(path: Path, resolve: Callable[[str], str] = str.lower) -> list[Row]:
    """The rows of one of OpenOOD's CSVs, or of all of them in a folder; `resolve` turns their scorers' names into ours.

    The model is "training/architecture (description)", in their words; the suite "openood-" and the file's name.
    """
    if path.is_dir():
        files = [path / f"{name}.csv" for name in NAMES if (path / f"{name}.csv").exists()]
        if not files:
            raise RequestError(f"{path} should hold OpenOOD's CSVs ({', '.join(NAMES)}), and has none of them")
        return [row for file in files for row in read_openood(file, resolve)]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"one of OpenOOD's CSVs should be at {path}, but it cannot be read: {error}") from error
    lines = csv.DictReader(io.StringIO(text, newline=""))
    if tuple(lines.fieldnames or ())[: len(COLUMNS)] != COLUMNS:
        raise IntegrityError(f"the columns of {path} should be {','.join(COLUMNS)}, got {lines.fieldnames}")
    suite = f"openood-{path.stem.replace('_', '-').removesuffix('-ood')}"
    return [
        row
        for number, line in enumerate(lines, start=2)
        for row in _rows(line, suite, resolve, f"line {number} of {path}")
    ]


def beside(theirs: Iterable[Row], ours: Iterable[Row]) -> list[Beside]:
    """Each of their rows with the best of ours of the same scorer and group; ours are of one suite and checkpoint."""
    means: dict[tuple[str, str], Row] = {}
    for row in ours:
        if row.set == MEAN and row.status == "ok":
            key = row.scorer.removesuffix("+energy"), row.group
            there = means.get(key)
            if there is None or (row.auroc or 0) > (there.auroc or 0):
                means[key] = row
    return [Beside(row, means.get((row.scorer, row.group))) for row in theirs]


def is_known_bad(row: Row) -> bool:
    """Whether the row says itself that its number must not be relied on."""
    return "known bad" in (row.reason or "")


def _rows(line: dict[str, str], suite: str, resolve: Callable[[str], str], where: str) -> list[Row]:
    described = line.get("Additional_Description") or ""
    model = f"{line['Training']}/{line['Arch']}" + (f" ({described})" if described else "")
    accuracy = _share(line["ID_Accuracy"], f"{where}: ID_Accuracy")
    rows = []
    for group, column in (("near", "Near-OOD_AUROC"), ("far", "Far-OOD_AUROC")):
        auroc = _share(line[column], f"{where}: {column}")
        spread = None if auroc is None else auroc[1]
        notes = [UNVERIFIED, *_flags(line["Postprocessor"].lower(), group, spread)]
        if line["Outlier_Data"].strip().lower() not in ("no", "/", ""):
            notes.append("trained with outliers")
        rows.append(
            Row(
                suite=suite,
                protocol="OpenOOD v1.5",
                model=model,
                scorer=resolve(line["Postprocessor"]),
                n_seeds=None if spread is None else _SEEDS,
                set=MEAN,
                group=group,
                auroc=None if auroc is None else auroc[0],
                auroc_std=spread,
                id_accuracy=None if accuracy is None else accuracy[0],
                origin="external",
                status="skipped" if auroc is None else "ok",
                reason="; ".join(["no number is given", *notes] if auroc is None else notes),
            )
        )
    return rows


def _flags(scorer: str, group: str, spread: float | None) -> Sequence[str]:
    flags = []
    if scorer in _KNOWN_BAD and _KNOWN_BAD[scorer][0] in (None, group):
        flags.append(_KNOWN_BAD[scorer][1])
    if spread == 0:
        flags.append("± 0.00: one run, or a mean without its spread")
    return flags


def _share(text: str | None, where: str) -> tuple[float, float | None] | None:
    """(mean, spread) as shares of a cell such as "87.62 ± 0.29"; None for an empty one or "/"."""
    stripped = (text or "").strip()
    if stripped in ("", "/", "-"):
        return None
    match = _NUMBER.fullmatch(stripped)
    if match is None or float(match[1]) > 100:
        raise IntegrityError(f"{where} should be percent such as 87.62 ± 0.29, got {stripped!r}")
    # divided as decimals: 0.8762 and not its neighbour
    return float(f"{match[1]}e-2"), None if match[2] is None else float(f"{match[2]}e-2")
