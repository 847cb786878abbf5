"""MCM against its definition, on cosines."""

from __future__ import annotations

import numpy as np
import torch
from direct import logits_bank, run, softmax_rows


def test_second_writing_on_cosines() -> None:
    rng = np.random.default_rng(3)
    image, text = rng.normal(size=(50, 16)), rng.normal(size=(30, 16))
    cosine = np.array([[a @ b / np.sqrt(a @ a) / np.sqrt(b @ b) for b in text] for a in image])
    for spec, temperature in (("mcm", 1.0), ("mcm:temperature=0.01", 0.01)):
        scores, _ = run(spec, logits_bank(cosine))
        np.testing.assert_allclose(
            scores, np.log(softmax_rows(cosine / temperature).max(axis=1)), rtol=1e-9, atol=1e-14
        )


def test_cosines_of_single_precision_stay_apart() -> None:
    rng = np.random.default_rng(4)
    cosine = rng.uniform(0.1, 0.3, (200, 1000))
    scores, _ = run("mcm", logits_bank(cosine, dtype=torch.float32))
    assert len(np.unique(scores)) == 200
