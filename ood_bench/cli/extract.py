"""`ood-bench extract`: images -> banks."""

from __future__ import annotations

from pathlib import Path

import click
import psutil

from ood_bench.backbones.opening import Wish
from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.defaults import default_model, default_suite
from ood_bench.errors import RequestError
from ood_bench.extraction.estimate import estimate
from ood_bench.extraction.locate import Place
from ood_bench.extraction.options import Options
from ood_bench.extraction.planning import Wanted, own_suite, plan
from ood_bench.extraction.suite import Extraction, Request, extract_suite
from ood_bench.home import Home, find_home
from ood_bench.progress import progress_bar
from ood_bench.suites import Suite, load_suite


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        name, equals, where = value.partition("=")
        if not (name and equals and where):
            raise click.BadParameter(
                f"expects NAME=FOLDER, LIST.txt, torchvision:NAME:SPLIT or hf:NAME:SPLIT, got {value!r}"
            )
    return {value.partition("=")[0]: value.partition("=")[2] for value in values}


def _lines(context: click.Context, parameter: click.Parameter, file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file} should be UTF-8 text, but it cannot be read: {error}") from error


@click.command()
@click.option("--suite", metavar="NAME", help="Which suite's images. [default: the model's own]")
@click.option(
    "--model",
    metavar="NAME",
    help="A preset, timm:NAME.TAG, torchvision:NAME, open_clip:NAME/PRETRAINED, "
    "hf-hub:ORG/NAME or script:FILE.pt#HEAD; random: before it takes fresh weights. [default: the suite's]",
)
@click.option(
    "--data-root", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where the images are."
)
@click.option(
    "--set",
    "own",
    multiple=True,
    callback=_pairs,
    metavar="NAME=WHERE",
    help="The images of a set: a folder, LIST.txt, torchvision:SVHN:test, hf:NAME:SPLIT; below the data root.",
)
@click.option("--fit", metavar="SET", help="Of your own sets: the ID training set.")
@click.option("--val", metavar="SET", help="The ID validation set.")
@click.option("--test", metavar="SET", help="The ID test set.")
@click.option("--near", multiple=True, metavar="SET", help="A near-OOD set; repeat for several.")
@click.option("--far", multiple=True, metavar="SET", help="A far-OOD set.")
@click.option("--shifted", multiple=True, metavar="SET", help="A covariate-shifted ID set.")
@click.option("--as", "as_suite", metavar="NAME", help="Call what there is a suite of your own, whole or not.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="With --as: at most N images of each set.")
@click.option("--only", multiple=True, metavar="SET", help="Only these sets.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where a model has several.")
@click.option("--weights", type=click.Path(path_type=Path), metavar="FILE", help="Weights that you have already.")
@click.option("--image-size", type=click.IntRange(min=1), metavar="N", help="Another size than the model's own.")
@click.option("--label-space", metavar="NAME", help="What the classes are called. [default: the suite's]")
@click.option(
    "--class-names",
    type=click.Path(path_type=Path),
    callback=_lines,
    metavar="FILE",
    help="Zero-shot: English names of the classes, one to a line.",
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    callback=_lines,
    metavar="FILE",
    help="Zero-shot: templates such as 'a photo of a {}.', one to a line.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    default=("auto",),
    show_default=True,
    help="auto (every GPU), cpu, cuda:0; repeat for one process each.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes that read images. [default: one a core, up to 16]",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    show_default=True,
    help="bf16 and fp16 are mixed precision.",
)
@click.option("--channels-last/--channels-first", default=None, help="[default: last on a GPU]")
@click.option(
    "--dtype", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True, help="Of what is stored."
)
@click.option(
    "--shard-rows",
    type=click.IntRange(min=1),
    default=65536,
    show_default=True,
    help="Rows of a shard; a cut-off extraction goes on at one.",
)
@click.option(
    "--on-bad",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do with an image that cannot be read.",
)
@click.option("--drop-logits", is_flag=True, help="Leave out logits that follow from features and head.")
@click.option("--replace", is_flag=True, help="Replace banks of the same names that were made otherwise.")
@click.option("--dry-run", is_flag=True, help="Only say how many images, bytes and hours.")
@HOME
@JSON
def extract(
    suite: str | None,
    model: str | None,
    data_root: Path,
    own: dict[str, str],
    fit: str | None,
    val: str | None,
    test: str | None,
    near: tuple[str, ...],
    far: tuple[str, ...],
    shifted: tuple[str, ...],
    as_suite: str | None,
    limit: int | None,
    only: tuple[str, ...],
    model_seed: int | None,
    weights: Path | None,
    image_size: int | None,
    label_space: str | None,
    class_names: tuple[str, ...],
    prompts: tuple[str, ...],
    devices: tuple[str, ...],
    batch_size: int,
    workers: int | None,
    precision: str,
    channels_last: bool | None,
    dtype: str,
    shard_rows: int,
    on_bad: str,
    drop_logits: bool,
    replace: bool,
    dry_run: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Run a backbone over the images of a suite and keep what it says of them, once and for all.

    Banks that are there are not made again, and a cut-off extraction goes on at its last whole shard. Wrong counts stop
    it before it starts. Weights are read without executing anything; a script: file is a program and runs as it is.
    """
    place = Place(data_root, find_home(home))
    roles = {"fit": fit, "val": val, "test": test}
    groups = {"near": near, "far": far}
    chosen = _suite(suite, model, place.home, own, roles, groups, shifted, as_suite, label_space)
    options = Options(
        devices=devices,
        batch=batch_size,
        workers=min(16, psutil.cpu_count() or 1) if workers is None else workers,
        precision=precision,  # type: ignore[arg-type]  # click checks the choices
        channels_last=channels_last,
        dtype=dtype,  # type: ignore[arg-type]  # likewise
        rows_per_shard=shard_rows,
        on_bad=on_bad,  # type: ignore[arg-type]  # likewise
        keep_logits=not drop_logits,
        replace=replace,
    )
    request = Request(
        suite=chosen,
        model=model or default_model(chosen, place.home),
        place=place,
        wish=Wish(model_seed, weights, label_space or "", class_names, prompts, image_size),
        wanted=Wanted(own, as_suite, limit, only),
        options=options,
    )
    if dry_run:
        _say_cost(request, as_json=as_json)
        return 0
    with progress_bar("images") as progress:
        done = extract_suite(request, lambda words: click.echo(words, err=True), progress)
    if as_json:
        print_json(document(done, request.model))
    else:
        click.echo(summary(done, request.model))
    if done.accuracy is not None and done.accuracy.warning:
        click.echo(done.accuracy.warning, err=True)
    return 0


def _suite(
    suite: str | None,
    model: str | None,
    home: Home,
    own: dict[str, str],
    roles: dict[str, str | None],
    groups: dict[str, tuple[str, ...]],
    shifted: tuple[str, ...],
    as_suite: str | None,
    label_space: str | None,
) -> Suite:
    given = any(roles.values()) or any(groups.values()) or shifted
    if not given:
        return load_suite(suite, home) if suite else default_suite(model, home)
    if suite is not None:
        raise RequestError(
            "a suite has its roles already; name --suite, or your own sets with their roles and --as NAME"
        )
    if as_suite is None or model is None:
        raise RequestError(
            "sets of your own make a suite of your own; name it with --as NAME, and the model with --model"
        )
    return own_suite(as_suite, label_space or as_suite, own, roles, groups, shifted)


def _say_cost(request: Request, *, as_json: bool) -> None:
    planned = plan(request.suite, request.place, request.wanted)
    cost = estimate(request.model, request.place.home, request.wish, planned, request.options)
    if as_json:
        sets = [{"set": one.images.name, "role": one.role, "images": one.images.n} for one in planned]
        print_json({"schema": 1, "images": cost.images, "bytes": cost.bytes, "hours": cost.hours, "sets": sets})
        return
    for one in planned:
        click.echo(f"{one.role:>8}  {one.images.name}: {one.images.n} images")
    click.echo(
        f"{cost.images} images, {cost.bytes / 2**30:.3f} GiB of banks, about {cost.hours:.2g} hours on this machine"
    )
    click.echo(
        f"(network {cost.network_seconds / 3600:.2g} h, reading images {cost.decode_seconds / 3600:.2g} h, one behind the "
        "other's back; measured on a few batches)"
    )


def document(done: Extraction, model: str) -> dict[str, object]:
    """What --json prints."""
    banks = [
        {
            "set": name,
            "role": done.suite.role_of(name),
            "n": made.manifest.n,
            "n_features": made.manifest.n_features,
            "n_classes": made.manifest.n_classes,
            "bank_sha256": made.manifest.bank_sha256,
            "head_error": made.manifest.head_error,
            "already": made.already,
            "skipped": dict(made.skipped),
        }
        for name, made in done.banks.items()
    ]
    accuracy = (
        None
        if done.accuracy is None
        else {
            "set": done.accuracy.set,
            "share": done.accuracy.share,
            "expected_percent": done.accuracy.expected,
            "source": done.accuracy.source or None,
            "warning": done.accuracy.warning,
        }
    )
    return {
        "schema": 1,
        "suite": done.suite.name,
        "model": model,
        "head_sha256": done.head_sha256,
        "head_error": done.head_error,
        "head_refused": done.head_refused,
        "accuracy": accuracy,
        "banks": banks,
    }


def summary(done: Extraction, model: str) -> str:
    """What a person reads at the end."""
    lines = [] if done.accuracy is None else [str(done.accuracy)]
    return "\n".join([*lines, f"Next: ood-bench run --suite {done.suite.name} --model {model}"])
