"""The trained weights of `digits-cnn`, kept beside its banks so that all banks of a home come from one network."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ood_bench.bank.content import info_of
from ood_bench.bank.heads import save_tensors
from ood_bench.canonical import canonical_json, sha256_of
from ood_bench.digits.network import Network, shapes
from ood_bench.errors import IntegrityError
from ood_bench.files import write_atomically

FILE = "weights.safetensors"
RECIPE = 1  # raised whenever the pixels, the network or its training change: then the banks are made anew
_REMEDY = "remove the file, and the network is trained again"


def weights_sha256(network: Network) -> str:
    """Hash of the recipe and of every weight's name, dtype, shape and bytes."""
    infos = {name: info_of(tensor) for name, tensor in sorted(network.weights.items())}
    return sha256_of([RECIPE, [[name, info.dtype, list(info.shape), info.sha256] for name, info in infos.items()]])


def keep_weights(folder: Path, network: Network) -> None:
    """Write the weights, whole or not at all, in place of any that are there."""
    stated = canonical_json({"recipe": RECIPE, "sha256": weights_sha256(network)})
    write_atomically(
        folder / FILE, lambda temporary: save_tensors(temporary, dict(network.weights), {"ood_bench": stated})
    )


def kept_network(folder: Path, n_classes: int) -> Network | None:
    """The network kept in `folder`; None where there is none, or one of another recipe."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            stated = json.loads(file.metadata()["ood_bench"])
            if stated["recipe"] != RECIPE:
                return None
            network = Network({name: file.get_tensor(name) for name in shapes(n_classes)})
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"the weights at {path} cannot be read ({error}); {_REMEDY}") from error
    if weights_sha256(network) != stated["sha256"]:
        raise IntegrityError(f"the weights at {path} are not those that were written; {_REMEDY}")
    return network
