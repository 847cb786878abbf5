"""Intervals in a table: beside the number where a row has them, and said how they were made."""

from __future__ import annotations

from ood_bench.metrics.intervals import Interval
from ood_bench.render.table import render
from ood_bench.store.row import Row

DELONG = Interval(0.8, 0.95, 0.95, "delong-logit")
PAIRS = Interval(0.96, 1.0, 0.95, "disjoint-pairs")


def row(name: str, auroc: float, interval: Interval | None) -> Row:
    intervals = () if interval is None else (("auroc", interval),)
    return Row(
        suite="toy", model="net", scorer="msp", set=name, group=name, auroc=auroc, status="ok", intervals=intervals
    )


def test_intervals_stand_beside_their_numbers_in_every_format() -> None:
    rows = [row("near", 0.9, DELONG), row("far", 1.0, PAIRS)]
    for fmt in ("text", "markdown", "html", "latex"):
        text = render(rows, fmt=fmt, metrics=("auroc",))  # type: ignore[arg-type]
        assert "90.00 [80.00, 95.00]" in text
        assert "100.00 [96.00, 100.00]" in text
    text = " ".join(render(rows, metrics=("auroc",)).split())
    assert "confidence interval of 95 %: DeLong's on the log-odds for the AUROC of one set" in text
    assert "as many comparisons as there are disjoint pairs" in text
    assert "bootstrap" not in text


def test_without_them_nothing_changes() -> None:
    text = render([row("near", 0.9, None)], metrics=("auroc",))
    assert "[" not in text.replace("[a-z]", "")
    assert "interval" not in text
