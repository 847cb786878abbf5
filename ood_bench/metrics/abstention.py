"""Answers with an "I don't know": what a right, a wrong and a withheld answer are worth.

Probabilities are over the options and the abstain option together and sum to 1. `loading_correct` >= `loading_wrong`
>= 0 say what a right answer gains and a wrong one loses; abstaining is worth 0. A question without a right answer (the
truth is the abstain option, or the input is none of the classes) has p_correct = 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def dcs(
    p_correct: Float[np.ndarray, " n"],
    p_wrong: Float[np.ndarray, " n"],
    p_abstain: Float[np.ndarray, " n"],
    *,
    loading_correct: float = 1.0,
    loading_wrong: float = 1.0,
) -> Float[np.ndarray, " n"]:
    """Distributional correctness score of the paper, (l_c p_c - l_w p_w)(1 - p_idk), in [-l_w, l_c] (Burns 2025)."""
    score: np.ndarray = dcs_official(
        p_correct, p_wrong, p_abstain, loading_correct=loading_correct, loading_wrong=loading_wrong
    ) * (1 - p_abstain)
    return score


def dcs_official(
    p_correct: Float[np.ndarray, " n"],
    p_wrong: Float[np.ndarray, " n"],
    p_abstain: Float[np.ndarray, " n"],
    *,
    loading_correct: float = 1.0,
    loading_wrong: float = 1.0,
) -> Float[np.ndarray, " n"]:
    """What the authors' code prints: l_c p_c - l_w p_w; it looks its abstain key up in vain and so loses (1 - p_idk)."""
    check_loadings(loading_correct, loading_wrong)
    total = p_correct + p_wrong + p_abstain
    if not np.allclose(total, 1, atol=1e-6) or min(p_correct.min(), p_wrong.min(), p_abstain.min()) < -1e-12:
        row = int(np.abs(total - 1).argmax())
        raise ValueError(f"p_correct, p_wrong and p_abstain should be >= 0 and sum to 1, got {total[row]} at row {row}")
    score: np.ndarray = loading_correct * p_correct - loading_wrong * p_wrong
    return score


def ternary(
    right: Bool[np.ndarray, " n"],
    answered: Bool[np.ndarray, " n"],
    *,
    loading_correct: float = 1.0,
    loading_wrong: float = 1.0,
) -> Float[np.ndarray, " n"]:
    """+l_c for a right answer, -l_w for a wrong one, 0 for none (Kalai et al. 2025)."""
    check_loadings(loading_correct, loading_wrong)
    return np.where(answered, np.where(right, loading_correct, -loading_wrong), 0.0)


def confidence_weighted_accuracy(
    confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The confidence of a right answer, 0 for every other."""
    return np.where(right, confidence, 0.0)


def guessing_threshold(loading_correct: float = 1.0, loading_wrong: float = 1.0) -> float:
    """The belief above which an answer is worth more than none: p l_c - (1 - p) l_w > 0 where p > l_w / (l_c + l_w)."""
    check_loadings(loading_correct, loading_wrong)
    return loading_wrong / (loading_correct + loading_wrong)


def check_loadings(loading_correct: float, loading_wrong: float) -> None:
    """Raise ValueError unless loading_correct >= loading_wrong >= 0 and one of them counts."""
    if not (loading_correct >= loading_wrong >= 0 and loading_correct > 0):
        raise ValueError(
            f"expected loading_correct >= loading_wrong >= 0 and loading_correct > 0, got {loading_correct:g} and "
            f"{loading_wrong:g}"
        )
