"""Makes the banks of the suite `digits`: trains the network where it is not there yet, and runs it on every set."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ood_bench.bank.base import KindOfLabels
from ood_bench.bank.heads import has_head, head_sha256, read_head, write_head
from ood_bench.bank.manifest import Identity, has_manifest, read_manifest
from ood_bench.bank.partial import permission_to_write
from ood_bench.bank.writer import BankWriter
from ood_bench.digits.images import ID_CLASSES, ImageSet, image_sets
from ood_bench.digits.network import Network, one_thread, train
from ood_bench.digits.shifts import WHITE
from ood_bench.digits.weights import keep_weights, kept_network, weights_sha256
from ood_bench.errors import IntegrityError, RequestError
from ood_bench.home import Home
from ood_bench.suites import Suite, load_suite

SUITE = "digits"
MODEL = "digits-cnn"
PREPROCESSING = f"8x8 grey levels 0..{WHITE} divided by {WHITE}"
_ROWS = 256  # through the network at a time; fixed, because the last bits of a feature may depend on it


def ensure_banks(home: Home, *, model_seed: int | None = None, progress: Callable[[str], None] | None = None) -> None:
    """Make those banks of `digits-cnn` on the suite `digits` that are not there; nothing is written where all are.

    `model_seed` names another checkpoint, trained from that seed; None is the default one, trained from seed 0.
    Repeating the call after a cut goes on with the network that was trained. `progress` is told each step in words.
    """
    if model_seed is not None and not 0 <= model_seed < 1 << 63:
        raise RequestError(f"a seed of {MODEL} is a whole number from 0 to 2**63 - 1, got {model_seed}; choose another")
    place = _Place(home, load_suite(SUITE, home), model_seed)
    if not place.lacks(place.network()):
        return
    with _alone(place.folder), one_thread():
        place.fill(progress or (lambda words: None))


@dataclass(frozen=True, slots=True)
class _Place:
    """The banks of one checkpoint in one home."""

    home: Home
    suite: Suite
    model_seed: int | None

    @property
    def folder(self) -> Path:
        return self.home.model_folder(MODEL, self.model_seed)

    @property
    def head_folder(self) -> Path:
        return self.home.head_folder(MODEL, self.model_seed, self.suite.label_space)

    def network(self) -> Network | None:
        return kept_network(self.folder, ID_CLASSES)

    def lacks(self, network: Network | None) -> list[str]:
        """The sets without a finished bank of this network; all of them where its head is not there."""
        names = [name for _, name in self.suite.members]
        if network is None or not has_head(self.head_folder):
            return names
        if head_sha256(read_head(self.head_folder)) != head_sha256(network.head):
            return names
        weights = weights_sha256(network)
        return [name for name in names if not self.has_bank(self.identity(name, weights))]

    def has_bank(self, identity: Identity) -> bool:
        folder = identity.folder(self.home)
        return has_manifest(folder) and read_manifest(folder).identity == identity

    def identity(self, name: str, weights: str) -> Identity:
        return Identity(
            model=MODEL,
            model_seed=self.model_seed,
            set=name,
            list_sha256=self.suite.sets[name].list_sha256 or "",
            ids_kind="source",
            label_space=self.suite.label_space,
            weights_sha256=weights,
            preprocessing=PREPROCESSING,
        )

    def fill(self, progress: Callable[[str], None]) -> None:
        network = self.network()
        missing = self.lacks(network)  # another process may have made them while this one waited
        if not missing:
            return
        sets = image_sets()
        for name in missing:
            _check_list(self.suite, name, sets[name])
        if network is None:
            digits = sets["digits-fit"]
            progress(f"training {MODEL} on {len(digits.ids)} digits")
            network = train(_inputs(digits), torch.from_numpy(digits.labels), ID_CLASSES, self.model_seed or 0)
            keep_weights(self.folder, network)
        write_head(self.head_folder, network.head, self.suite.label_space, replace=True)
        for done, name in enumerate(missing, 1):
            progress(f"running {MODEL} on {name} ({done} of {len(missing)})")
            self.write(name, sets[name], network)

    def write(self, name: str, given: ImageSet, network: Network) -> None:
        """Write the bank of one set. A finished bank of other weights, which are no longer there, gives way."""
        identity = self.identity(name, weights_sha256(network))
        kind: KindOfLabels = "ood" if any(name in group for group in self.suite.groups.values()) else "id"
        writer = BankWriter(
            self.home,
            identity,
            kind_of_labels=kind,
            head=network.head,
            n_expected=len(given.ids),
            replace=has_manifest(identity.folder(self.home)),
            source=hashlib.sha256(given.images.tobytes()).hexdigest(),
        )
        tensors = _run(network, _inputs(given))
        if bool((given.labels >= 0).all()):
            tensors["labels"] = torch.from_numpy(given.labels)
        done = writer.rows_done
        writer.add(given.ids[done:], {key: tensor[done:] for key, tensor in tensors.items()})
        writer.finish()


def _inputs(given: ImageSet) -> Float[Tensor, "n 8 8"]:
    return torch.from_numpy(given.images.astype(np.float32) / WHITE)


def _run(network: Network, inputs: Float[Tensor, "n 8 8"]) -> dict[str, Tensor]:
    with torch.no_grad():
        features = torch.cat([network.features(part) for part in torch.split(inputs, _ROWS)])
        logits = torch.cat([network.logits(part) for part in torch.split(features, _ROWS)])
    return {"features": features, "logits": logits}


def _check_list(suite: Suite, name: str, made: ImageSet) -> None:
    spec = suite.sets[name]
    if (spec.count, spec.list_sha256) != (len(made.ids), made.list_sha256):
        raise IntegrityError(
            f"the set {name} should have {spec.count} images with list {str(spec.list_sha256)[:12]} ({suite.source}), "
            f"but {len(made.ids)} with list {made.list_sha256[:12]} were made; install ood-bench again"
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes these banks, and keep others out."""
    with permission_to_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: a second process makes the same banks again
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
