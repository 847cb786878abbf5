"""`ood-bench doctor`: what a bug report should say first."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import click
import psutil
import torch

from ood_bench.cli.options import HOME
from ood_bench.home import find_home
from ood_bench.registry import ESTIMATORS, SCORERS, load_all

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "safetensors", "click", "rich")
OPTIONAL = ("timm", "open_clip_torch", "duckdb", "matplotlib", "pytorch-ood", "openood")


@click.command()
@HOME
def doctor(home: str | None) -> int:
    """Say what is installed, which device there is, and whether the home can be written. Exit code 1 on trouble."""
    place = find_home(home)
    click.echo(f"ood-bench {version('ood-bench')} · Python {platform.python_version()} · {platform.platform()}")
    for name in (*PACKAGES, *OPTIONAL):
        try:
            click.echo(f"  {name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"  {name}: not installed{' (optional)' if name in OPTIONAL else ''}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none; everything runs on the CPU"
    click.echo(f"GPU: {device}")
    click.echo(
        f"CPU threads: {torch.get_num_threads()}; free memory: {psutil.virtual_memory().available / 2**30:.1f} GiB"
    )
    load_all()
    click.echo(f"scorers and rectifiers: {len(SCORERS.names())}; estimators: {len(ESTIMATORS.names())}")
    nearest = next(folder for folder in (place.root, *place.root.parents) if folder.exists())
    writable = os.access(nearest, os.W_OK)
    click.echo(
        f"home: {place.root} ({'can be written' if writable else 'CANNOT be written; choose another with --home'})"
    )
    return int(not writable)
