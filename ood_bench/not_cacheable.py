"""Post-hoc methods that no cache can answer: what each needs beyond features, logits and head.

`list scorers --all` shows them, and asking for one says why it is not there. Their per-sample scores can be brought.
"""

from __future__ import annotations

from dataclasses import dataclass

BRING = "bring per-sample scores with ood-bench import-scores"
GRADIENT = "perturbs the image along the gradient of the network's input, and runs the network again"
INNER = "reads the network's inner layers, not the last features alone"


@dataclass(frozen=True, slots=True)
class Absent:
    """A method that is not here: its name, where it comes from, and what a cache lacks for it."""

    name: str
    paper: str
    reason: str


_ALL = (
    Absent("adascale-a", "Regmi, 2025, arXiv:2503.08023", f"{GRADIENT}, to choose each row's percentile"),
    Absent("adascale-l", "Regmi, 2025, arXiv:2503.08023", f"{GRADIENT}, to choose each row's percentile"),
    Absent(
        "gradnorm-layers",
        "Huang et al., NeurIPS 2021, arXiv:2110.00218",
        "takes gradients of other layers' weights; gradnorm is that of the head",
    ),
    Absent("gram", "Sastry & Oore, ICML 2020, arXiv:1912.12510", INNER),
    Absent("grood", "ElAraby et al., 2023, arXiv:2312.14427", "takes gradients at inner layers for each image"),
    Absent("iodin", "a variant of ODIN in OpenOOD v1.5", GRADIENT),
    Absent(
        "mc-dropout",
        "Gal & Ghahramani, ICML 2016, arXiv:1506.02142",
        "runs the network several times; the passes' logits stored as `members` give mutual-information, "
        "expected-entropy, ensemble-variance and every scorer of the mean logits",
    ),
    Absent(
        "mds-ensemble",
        "Lee et al., NeurIPS 2018, arXiv:1807.03888",
        f"{INNER}, and {GRADIENT}; mds is that of the last features",
    ),
    Absent("nac", "Liu et al., ICLR 2024, arXiv:2306.02879", f"{INNER} (how they cover the states of neurons)"),
    Absent(
        "odin", "Liang et al., ICLR 2018, arXiv:1706.02690", f"{GRADIENT}; odin-t is its temperature without the step"
    ),
    Absent(
        "rankfeat",
        "Song et al., NeurIPS 2022, arXiv:2209.08590",
        "removes the first singular direction of a feature map before pooling",
    ),
)
NOT_CACHEABLE: dict[str, Absent] = {absent.name: absent for absent in _ALL}
