from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from ood_bench.bank.manifest import Identity, Manifest, read_manifest, write_manifest
from ood_bench.bank.verify import verify
from ood_bench.canonical import sha256_of
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home

Rows = dict[str, Tensor]
Write = Callable[..., Manifest]


@pytest.fixture
def folder(where: Home, identity: Identity, rows: Rows, write: Write) -> Path:
    write(rows)
    return identity.folder(where)


def test_it_says_what_a_reader_wants_to_know(folder: Path) -> None:
    value = json.loads((folder / "manifest.json").read_text())
    assert (value["schema"], value["n"], value["n_features"], value["n_classes"]) == (1, 50, 6, 4)
    assert value["identity"]["ids_kind"] == "source"
    assert set(value["versions"]) == {"ood-bench", "torch", "numpy", "safetensors"}
    assert value["tensors"]["features"]["dtype"] == "float32"


def test_the_hash_ignores_time_and_versions(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, time="2001-01-01", versions={}))
    assert read_manifest(folder).bank_sha256 == manifest.bank_sha256
    assert verify(folder) == []


def test_a_changed_manifest_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"n": 50', '"n": 49'))
    with pytest.raises(IntegrityError, match=r"manifest.json was changed after it was written; make the bank again"):
        read_manifest(folder)
    path.write_text("{")
    with pytest.raises(IntegrityError, match="the bank's manifest should be a JSON object"):
        read_manifest(folder)


def test_a_manifest_that_lacks_an_entry_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    del value["shards"], value["manifest_sha256"]
    path.write_text(json.dumps(value | {"manifest_sha256": sha256_of(value)}))
    with pytest.raises(IntegrityError, match=r"lacks or garbles an entry \(KeyError\('shards'\)\)"):
        read_manifest(folder)


def test_a_newer_schema_is_refused_in_a_sentence(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(RequestError, match="has schema 2, and this ood-bench reads up to 1; upgrade"):
        read_manifest(folder)


def test_a_manifest_that_contradicts_its_parts_is_found(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, shards=manifest.shards[:-1]))
    assert any("shards hold 49 rows, the manifest says 50" in problem for problem in verify(folder))
    write_manifest(folder, replace(manifest, bank_sha256="0" * 64))
    assert any("bank hash is not that of its parts" in problem for problem in verify(folder))


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"a bank is expected at .*, which does not exist; repeat the import"):
        read_manifest(tmp_path / "nothing")


def test_manifests_are_read_without_torch() -> None:
    code = "import sys, ood_bench.bank.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
