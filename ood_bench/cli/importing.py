"""`ood-bench import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ood_bench.bank.content import StorageName
from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.home import find_home
from ood_bench.importing.folder import Imported, import_folder
from ood_bench.suites import FprOrientation


def _names(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.split(",") if name)


def _sets(flag: str, help_: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(f"--{flag}", multiple=True, callback=_names, metavar="SET,...", help=help_)


@click.command("import")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="NAME", help="What to call the backbone.")
@click.option("--suite", required=True, metavar="NAME", help="What to call the suite that this makes.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where a model has several.")
@click.option("--fit", metavar="SET", help="ID training set, which scorers learn from.")
@click.option("--test", metavar="SET", help="ID test set.")
@click.option("--val", metavar="SET", help="ID validation set.")
@click.option("--val-from-fit", type=float, metavar="SHARE", help="Take this share of the fit rows as validation set.")
@_sets("near", "Near-OOD sets.")
@_sets("far", "Far-OOD sets.")
@_sets("val-ood", "OOD sets to choose hyper-parameters on (see tune); never part of a result.")
@_sets("shifted", "Covariate-shifted ID sets.")
@click.option("--roles", "roles_toml", type=click.Path(path_type=Path), metavar="FILE", help="Roles as TOML instead.")
@click.option(
    "--head", type=click.Path(path_type=Path), metavar="FILE", help="The last layer, where it lies elsewhere."
)
@click.option("--dtype", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True)
@click.option(
    "--fpr", type=click.Choice(["id_positive", "ood_positive"]), help="Which FPR95 tables show. [default: id_positive]"
)
@click.option("--label-space", metavar="NAME", help="Tells several heads of one backbone apart. [default: default]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw of --val-from-fit.")
@click.option("--replace", is_flag=True, help="Replace banks of the same names that have other content.")
@HOME
@JSON
def import_(
    directory: Path,
    model: str,
    suite: str,
    model_seed: int | None,
    fit: str | None,
    test: str | None,
    val: str | None,
    val_from_fit: float | None,
    near: tuple[str, ...],
    far: tuple[str, ...],
    val_ood: tuple[str, ...],
    shifted: tuple[str, ...],
    roles_toml: Path | None,
    head: Path | None,
    dtype: StorageName,
    fpr: FprOrientation | None,
    label_space: str | None,
    seed: int,
    replace: bool,
    home: str | None,
    as_json: bool,
) -> None:
    """Banks, a head and a suite of your own out of a folder of tensors.

    A set is SET.npz (arrays features, logits, labels), SET_features.npy with its siblings, SET.safetensors, SET.pt or
    the pickles of the ViM authors' scripts; the head is head.npz with W and b. Roles may be missing; what needs them is
    skipped later. Nothing is written unless everything is right.
    """
    done = import_folder(
        find_home(home),
        directory,
        model=model,
        suite=suite,
        model_seed=model_seed,
        fit=fit,
        test=test,
        val=val,
        val_from_fit=val_from_fit,
        near=near,
        far=far,
        val_ood=val_ood,
        shifted=shifted,
        roles_toml=roles_toml,
        head=head,
        dtype=dtype,
        replace=replace,
        fpr=fpr,
        label_space=label_space,
        seed=seed,
    )
    if as_json:
        print_json(document(done, model))
    else:
        click.echo(summary(done, model))


def document(done: Imported, model: str) -> dict[str, object]:
    """What --json prints."""
    banks = [
        {
            "set": name,
            "role": done.suite.role_of(name),
            "n": manifest.n,
            "n_features": manifest.n_features,
            "n_classes": manifest.n_classes,
            "bank_sha256": manifest.bank_sha256,
            "head_error": manifest.head_error,
            "already": name in done.already,
        }
        for name, manifest in done.manifests.items()
    ]
    return {"schema": 1, "suite": done.suite.name, "model": model, "head_sha256": done.head_sha256, "banks": banks}


def summary(done: Imported, model: str) -> str:
    """What a person reads: each bank in a line, what was left aside, and what to do next."""
    lines = []
    for name, manifest in done.manifests.items():
        state = "was there" if name in done.already else "imported"
        error = "" if manifest.head_error is None else f", head error {manifest.head_error:.1e}"
        shape = f"{manifest.n} rows, d={manifest.n_features}, K={manifest.n_classes}"
        lines.append(f"{done.suite.role_of(name):>8}  {name}: {shape}{error} ({state})")
        if manifest.head_refused:
            lines.append(f"          {manifest.head_refused}")
    lines += [f"left aside in {file}: {', '.join(arrays)}" for file, arrays in done.ignored.items()]
    if done.without_role:
        lines.append(f"without a role, not imported: {', '.join(done.without_role)}")
    if done.nothing_new:
        lines.append("Nothing new: the same import was done before.")
    lines.append(f"Next: ood-bench run --suite {done.suite.name} --model {model}")
    return "\n".join(lines)
