"""`ood-bench list`: what there is. Only `list scorers` and `list estimators` import torch."""

from __future__ import annotations

import click

from ood_bench.cli import Lazy

LISTS: dict[str, tuple[str, str]] = {
    "scorers": ("ood_bench.cli.listing_methods:scorers", "Scorers and rectifiers, with needs, parameters and paper."),
    "estimators": ("ood_bench.cli.listing_methods:estimators", "Estimators of a set's accuracy."),
    "models": ("ood_bench.cli.listing_stored:models", "Presets, and models that suites name or banks exist for."),
    "suites": ("ood_bench.cli.listing_stored:suites", "Shipped suites and your own."),
    "sets": ("ood_bench.cli.listing_stored:sets", "Every set of every suite."),
    "banks": ("ood_bench.cli.listing_stored:banks", "Banks with their sizes; interrupted ones are marked."),
    "runs": ("ood_bench.cli.listing_stored:runs", "Runs, the newest last."),
}


@click.group("list", cls=Lazy, commands_at=LISTS)
def list_() -> None:
    """Say what there is."""
