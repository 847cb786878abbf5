"""Files of option log-likelihoods become banks and a suite, through the same door as every other import."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ood_bench.errors import RequestError
from ood_bench.home import Home
from ood_bench.importing.folder import Imported, import_folder
from ood_bench.importing.options import OptionSet, Reading, read_options

_REFERENCE = re.compile(r"(?:(?P<name>[^=]+)=)?(?P<path>[^#]+)(?:#(?P<subject>.+))?")


@dataclass(frozen=True, slots=True)
class ImportedOptions:
    """What an import of options made, and which questions were left out, by set and reason."""

    imported: Imported
    left_out: Mapping[str, Mapping[str, int]]


def import_options(
    home: Home,
    *,
    model: str,
    suite: str,
    roles: Mapping[str, Sequence[str]],
    reading: Reading,
    model_seed: int | None = None,
    val_from_fit: float | None = None,
    replace: bool = False,
    seed: int = 0,
) -> ImportedOptions:
    """Banks and a suite out of files; `roles` maps each role to references of the form [NAME=]FILE[#SUBJECT]."""
    found: dict[str, tuple[str, OptionSet]] = {}
    for role, references in roles.items():
        for reference in references:
            name, options = _read(reference, reading)
            if name in found:
                raise RequestError(f"two sets are named {name!r}; name one of them otherwise with NAME=FILE")
            found[name] = role, options
    widths = {name: options.logits.shape[1] for name, (_, options) in found.items()}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise RequestError(f"all sets of a suite should have equally many options, got {told}")
    by_role: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="ood-bench-options-") as folder:
        for name, (role, options) in found.items():
            by_role.setdefault(role, []).append(name)
            np.savez(Path(folder, f"{name}.npz"), **_arrays(options))  # type: ignore[arg-type]  # names, not flags
        imported = import_folder(
            home,
            Path(folder),
            model=model,
            suite=suite,
            model_seed=model_seed,
            fit=_single(by_role, "fit"),
            val=_single(by_role, "val"),
            test=_single(by_role, "test"),
            near=by_role.get("near", ()),
            far=by_role.get("far", ()),
            shifted=by_role.get("shifted", ()),
            val_from_fit=val_from_fit,
            replace=replace,
            seed=seed,
        )
    return ImportedOptions(
        imported, {name: options.left_out for name, (_, options) in found.items() if options.left_out}
    )


def _read(reference: str, reading: Reading) -> tuple[str, OptionSet]:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise RequestError(f"a set is written [NAME=]FILE[#SUBJECT], got {reference!r}")
    path = Path(match["path"])
    name = match["name"] or match["subject"] or path.name.partition(".")[0]
    if "/" in name or name.startswith("."):
        raise RequestError(f"a set's name should be one word without a slash, got {name!r} in {reference!r}")
    return name, read_options(path, reading, match["subject"])


def _arrays(options: OptionSet) -> dict[str, np.ndarray]:
    arrays = {"logits": options.logits, "labels": options.labels, "ids": np.array(options.ids)}
    return arrays if options.abstain_index is None else arrays | {"abstain_index": np.array(options.abstain_index)}


def _single(roles: Mapping[str, Sequence[str]], role: str) -> str | None:
    names = roles.get(role, ())
    if len(names) > 1:
        raise RequestError(f"--{role} names one set, got {', '.join(names)}")
    return names[0] if names else None
