"""`digits-cnn`: the seed decides the network and nothing else does; its weights are kept whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor

from ood_bench.digits.images import image_sets
from ood_bench.digits.network import Network, train
from ood_bench.digits.weights import FILE, keep_weights, kept_network, weights_sha256
from ood_bench.errors import IntegrityError

Data = tuple[Float[Tensor, "n 8 8"], Int64[Tensor, " n"]]


@pytest.fixture(scope="module")
def data() -> Data:
    digits = image_sets()["digits-fit"]
    return torch.from_numpy(digits.images.astype(np.float32) / 16), torch.from_numpy(digits.labels)


@pytest.fixture(scope="module")
def network(data: Data) -> Network:
    return train(*data, 8, seed=0)


def test_it_learns_its_training_images(data: Data, network: Network) -> None:
    logits = network.logits(network.features(data[0]))
    assert (logits.argmax(dim=1) == data[1]).float().mean() > 0.98


def test_features_are_not_negative_and_the_head_gives_the_logits(data: Data, network: Network) -> None:
    features = network.features(data[0])
    assert features.shape == (400, 64)
    assert features.min() >= 0
    assert (features.max(dim=0).values > 0).sum() > 55  # few of the 64 never speak
    torch.testing.assert_close(network.head.logits(features), network.logits(features))


def test_the_seed_decides_whatever_the_threads_and_global_generators(data: Data, network: Network) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(123)
        again = train(*data, 8, seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert weights_sha256(again) == weights_sha256(network)
    assert weights_sha256(train(*data, 8, seed=1)) != weights_sha256(network)


def test_global_generators_are_left_alone(data: Data) -> None:
    # Python's own is not looked at: beartype, which checks types under pytest, draws from it
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one
    train(*data, 8, seed=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002 - likewise


def test_kept_weights_come_back_as_they_were(tmp_path: Path, data: Data, network: Network) -> None:
    assert kept_network(tmp_path, 8) is None
    keep_weights(tmp_path, network)
    kept = kept_network(tmp_path, 8)
    assert kept is not None
    assert weights_sha256(kept) == weights_sha256(network)
    assert torch.equal(kept.features(data[0]), network.features(data[0]))


def test_weights_of_another_recipe_are_not_taken(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights_sha256(network)
    keep_weights(tmp_path, network)
    monkeypatch.setattr("ood_bench.digits.weights.RECIPE", 2)
    assert kept_network(tmp_path, 8) is None
    assert weights_sha256(network) != before


def test_damaged_weights_are_refused(tmp_path: Path, network: Network) -> None:
    keep_weights(tmp_path, network)
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"not those that were written; remove the file, and the network is train"):
        kept_network(tmp_path, 8)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match=r"cannot be read \(.*remove the file"):
        kept_network(tmp_path, 8)
    path.write_bytes(whole)
    save_file(load_file(path), path)  # a file of the same tensors that somebody else wrote
    with pytest.raises(IntegrityError, match="cannot be read"):
        kept_network(tmp_path, 8)
