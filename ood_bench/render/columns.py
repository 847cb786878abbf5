"""The numbers a table can show: how each is headed, which direction is better, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ood_bench.naming import unknown

FprOrientation = Literal["id_positive", "ood_positive"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A column's number: which field of a row, how it is headed, which direction is better."""

    column: str
    title: str
    higher_is_better: bool
    meaning: str

    @property
    def heading(self) -> str:
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


METRICS: dict[str, Metric] = {
    metric.column: metric
    for metric in (
        Metric("auroc", "AUROC", True, "AUROC: chance that an ID sample scores higher than an OOD sample"),
        Metric(
            "fpr95_id_positive",
            "FPR95 ID+",
            False,
            "FPR95 (ID positive: share of OOD accepted with 95 % of ID kept)",
        ),
        Metric(
            "fpr95_ood_positive",
            "FPR95 OOD+",
            False,
            "FPR95 (OOD positive: share of ID rejected with 95 % of OOD caught)",
        ),
        Metric("aupr_in", "AUPR in", True, "AUPR in: average precision, ID positive"),
        Metric("aupr_out", "AUPR out", True, "AUPR out: average precision, OOD positive"),
    )
}


def chosen_metrics(names: Sequence[str], fpr: FprOrientation) -> tuple[Metric, ...]:
    """The metrics of those names; `fpr95` means the orientation `fpr`."""
    if fpr not in ("id_positive", "ood_positive"):
        raise unknown("orientation of FPR95", fpr, ("id_positive", "ood_positive"))
    columns = [f"fpr95_{fpr}" if name == "fpr95" else name for name in names]
    for name in columns:
        if name not in METRICS:
            raise unknown("metric of a table", name, {*METRICS, "fpr95"})
    return tuple(METRICS[name] for name in dict.fromkeys(columns))
