from __future__ import annotations

import numpy as np
import torch
from support import problem, score


def test_is_the_norm_of_the_gradient_by_autograd() -> None:
    """The definition: L1 norm of the gradient of -sum_c log p_c with respect to W, one row at a time."""
    given = problem(18, relu=False)
    expected = []
    for row in torch.from_numpy(given.features("test")):
        weight = torch.from_numpy(given.weight).requires_grad_(True)
        loss = -torch.log_softmax(weight @ row + torch.from_numpy(given.bias), dim=0).sum()
        (gradient,) = torch.autograd.grad(loss, weight)
        expected.append(float(gradient.abs().sum()))
    np.testing.assert_allclose(score("gradnorm", given, rows=7), expected, rtol=1e-9)


def test_against_the_closed_form() -> None:
    given = problem(19)
    z = given.logits("ood")
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    expected = np.abs(given.features("ood")).sum(axis=1) * np.abs(len(given.bias) * p - 1).sum(axis=1)
    np.testing.assert_allclose(score("gradnorm", given, "ood"), expected, rtol=1e-9)
