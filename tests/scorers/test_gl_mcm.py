"""GL-MCM against a loop over rows and patches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from direct import run, softmax_rows

from ood_bench.bank.memory import MemoryBank
from ood_bench.errors import CannotScore


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    return float(x @ y / math.sqrt(x @ x) / math.sqrt(y @ y))


@pytest.mark.parametrize(
    ("spec", "lam", "t"), [("gl-mcm", 1.0, 1.0), ("gl-mcm:lam=0.5", 0.5, 1.0), ("gl-mcm:temperature=0.05", 1.0, 0.05)]
)
def test_second_writing(spec: str, lam: float, t: float) -> None:
    rng = np.random.default_rng(0)
    images, patches, text = rng.normal(size=(20, 16)), rng.normal(size=(20, 9, 16)), 2 * rng.normal(size=(12, 16))
    expected = []
    for image, parts in zip(images, patches, strict=True):
        whole = softmax_rows([[cosine(image, y) / t for y in text]]).max()
        local = max(softmax_rows([[cosine(part, y) / t for y in text]]).max() for part in parts)
        expected.append(whole + lam * local)
    bank = MemoryBank.of("test", features=images, local_features=patches, constants={"text_features": text})
    np.testing.assert_allclose(run(spec, bank)[0], expected, rtol=1e-9)
    np.testing.assert_allclose(run(spec, bank, rows=3)[0], expected, rtol=1e-9)


def test_it_needs_patches() -> None:
    bank = MemoryBank.of("test", features=np.ones((2, 4)), constants={"text_features": np.eye(4)})
    with pytest.raises(CannotScore, match="needs local-features: store the patch embeddings"):
        run("gl-mcm", bank)
