"""What a bank's manifest says: identity, tensors, shards and the hash that stands for all of it. Needs no torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ood_bench.canonical import sha256_of
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.files import read_json, write_json
from ood_bench.home import Home

SCHEMA = 1
FILE = "manifest.json"
IDS_FILE = "ids.txt"
CONSTANTS_FILE = "constants.safetensors"
JOURNAL = "journal.json"  # what an interrupted write goes on from
REMEDY = "make the bank again: ood-bench import ... --replace, or remove the folder and run ood-bench extract"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a bank is about: which checkpoint saw which list of inputs, and what its labels mean."""

    model: str
    model_seed: int | None
    set: str
    list_sha256: str
    ids_kind: Literal["source", "row"]
    label_space: str
    weights_sha256: str | None = None
    preprocessing: str = ""
    abstain_index: int | None = None

    @property
    def content(self) -> str:
        """Hash of list, transform and label space; its first 8 digits tell banks of one set apart on disk."""
        return sha256_of({"list": self.list_sha256, "transform": self.preprocessing, "labels": self.label_space})

    def folder(self, home: Home) -> Path:
        """Where the bank of this identity lives."""
        return home.bank_folder(self.model, self.model_seed, self.set, self.content)

    def __str__(self) -> str:
        seed = "" if self.model_seed is None else f"@{self.model_seed}"
        return f"{self.model}{seed} on {self.set}"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a bank. Of a per-row tensor `shape` leaves out the rows; `sha256` is of all its bytes in order."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Shard:
    file: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole bank in words. `head_error` is the largest |features @ W.T + b - logits|; `head_refused` says why a
    head that does not reproduce the logits must not be used."""

    identity: Identity
    n: int
    tensors: dict[str, TensorInfo]
    shards: tuple[Shard, ...]
    rows_per_shard: int
    ids_sha256: str
    head_sha256: str | None
    head_error: float | None
    versions: dict[str, str]
    time: str
    bank_sha256: str
    head_refused: str | None = None
    head_classes: int | None = None
    has_labels: bool = False
    constants: dict[str, TensorInfo] = field(default_factory=dict)

    @property
    def n_features(self) -> int | None:
        return self.tensors["features"].shape[0] if "features" in self.tensors else None

    @property
    def n_classes(self) -> int | None:
        return self.tensors["logits"].shape[0] if "logits" in self.tensors else self.head_classes


def bank_hash(
    identity: Identity,
    n: int,
    tensors: Mapping[str, TensorInfo],
    ids_sha256: str,
    constants: Mapping[str, TensorInfo],
    head_sha256: str | None,
) -> str:
    """The bank hash: identity and every byte of every tensor, however they are cut into shards.

    The head counts only where logits are not stored, because there they follow from it.
    """
    return sha256_of(
        {
            "schema": SCHEMA,
            "identity": asdict(identity),
            "n": n,
            "tensors": {name: asdict(info) for name, info in tensors.items()},
            "constants": {name: asdict(info) for name, info in constants.items()},
            "ids": ids_sha256,
            "head": None if "logits" in tensors else head_sha256,
        }
    )


def has_manifest(folder: Path) -> bool:
    """Whether the folder holds a finished bank; without a manifest it is an interrupted one."""
    return (folder / FILE).is_file()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, the last file of a bank."""
    value: dict[str, Any] = {"schema": SCHEMA, **asdict(manifest)}
    value |= {"n_features": manifest.n_features, "n_classes": manifest.n_classes}  # for the human reader
    write_json(folder / FILE, value | {"manifest_sha256": sha256_of(value)})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished bank, checked against the hash it carries of itself."""
    path = folder / FILE
    if not path.is_file():
        state = "was interrupted: it has no manifest.json" if folder.is_dir() else "does not exist"
        raise RequestError(f"a bank is expected at {folder}, which {state}; repeat the import or extract that makes it")
    value = read_json(path, "the bank's manifest")
    schema = value.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise RequestError(
            f"the bank at {folder} has schema {schema}, and this ood-bench reads up to {SCHEMA}; upgrade ood-bench"
        )
    stated = value.pop("manifest_sha256", None)
    if stated != sha256_of(value):
        raise IntegrityError(f"the manifest {path} was changed after it was written; {REMEDY}")
    try:
        return _parse(value)
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"the manifest {path} lacks or garbles an entry ({error!r}); {REMEDY}") from error


def staging_of(folder: Path) -> Path:
    """Where the replacement of a finished bank is written, hidden beside it."""
    return folder.with_name(f".{folder.name}.new")


def is_staging(folder: Path) -> bool:
    """Whether this is such a replacement; a bank's own folder ends in 8 hex digits."""
    return folder.name.startswith(".") and folder.name.endswith(".new")


def remove_folder(folder: Path) -> None:
    """Remove a bank's files, the manifest early: cut off half-way it is an interrupted bank and never a wrong one."""
    try:
        for name in (JOURNAL, FILE):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RequestError(f"cannot remove {folder}: {error.strerror}; change its permissions") from error


def _parse(value: dict[str, Any]) -> Manifest:
    return Manifest(
        identity=Identity(**value["identity"]),
        n=value["n"],
        tensors=_infos(value["tensors"]),
        shards=tuple(Shard(**shard) for shard in value["shards"]),
        rows_per_shard=value["rows_per_shard"],
        ids_sha256=value["ids_sha256"],
        head_sha256=value["head_sha256"],
        head_error=value["head_error"],
        versions=value["versions"],
        time=value["time"],
        bank_sha256=value["bank_sha256"],
        head_refused=value["head_refused"],
        head_classes=value["head_classes"],
        has_labels=value["has_labels"],
        constants=_infos(value["constants"]),
    )


def _infos(value: dict[str, Any]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(info["dtype"], tuple(info["shape"]), info["sha256"]) for name, info in value.items()}
