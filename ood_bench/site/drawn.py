"""The curves of one line of the page, as packed points: what is drawn is fixed when the page is made."""

from __future__ import annotations

import numpy as np

from ood_bench.figures.curves import BINS, histograms, risk_coverage, roc
from ood_bench.metrics.ood import SortedScores, threshold_at_tpr
from ood_bench.site.packing import pack
from ood_bench.store.records import ScoreRecord
from ood_bench.store.store import Store

# closer together at few accepted outliers, where ROC curves of good scorers are told apart
ROC_X = np.linspace(0, 1, 37) ** 2
RISK_X = 1 - np.linspace(1, 0, 37) ** 2  # closer together where nearly all is accepted, and the risk rises


def drawn_sets(store: Store, inside: ScoreRecord, outside: dict[str, ScoreRecord]) -> dict[str, object]:
    """Histograms of all sets over common bins, and the ROC curve of each OOD set."""
    kept = store.scores(inside)
    others = {name: store.scores(record) for name, record in outside.items()}
    ranked = SortedScores(kept, inside.what)
    bars = histograms({"": kept, **{f"ood {name}": scores for name, scores in others.items()}}, BINS)
    return {
        "edges": [float(f"{edge:.6g}") for edge in (bars.edges[0], bars.edges[-1])],
        "threshold": float(f"{threshold_at_tpr(ranked, positive='id'):.6g}"),
        "id": _bars(bars.shares[""]),
        "sets": {
            name: [*_bars(bars.shares[f"ood {name}"]), pack(roc(ranked, scores).at(ROC_X), fine=True)]
            for name, scores in others.items()
        },
    }


def drawn_risk(store: Store, inside: ScoreRecord) -> list[object] | None:
    """[largest risk, share of wrong predictions, the curve] on the ID test set; None where no label tells right."""
    outcomes = store.outcomes(inside.key.bank_sha256)
    if outcomes is None or bool((outcomes[1] < 0).any()):
        return None
    right = outcomes[0] == outcomes[1]
    risk = risk_coverage(store.scores(inside), right).at(RISK_X)
    largest = float(risk.max())
    packed = pack(risk / largest if largest else risk, fine=True)
    return [round(largest, 6), round(float(1 - right.mean()), 6), packed]


def _bars(shares: np.ndarray) -> list[object]:
    """[the largest share, each as a part of it]."""
    largest = float(shares.max())
    return [float(f"{largest:.4g}"), pack(shares / largest)]
