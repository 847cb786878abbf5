"""`ood-bench import-options`."""

from __future__ import annotations

import click

from ood_bench.cli.importing import document, summary
from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.home import find_home
from ood_bench.importing.option_suite import import_options
from ood_bench.importing.options import Normalise, Reading


@click.command("import-options")
@click.option("--model", required=True, metavar="NAME", help="What to call the language model.")
@click.option("--suite", required=True, metavar="NAME", help="What to call the suite that this makes.")
@click.option("--model-seed", type=int, metavar="N", help="Which checkpoint, where a model has several.")
@click.option(
    "--test", multiple=True, metavar="[NAME=]FILE", help="The questions; FILE#SUBJECT takes one subject of many."
)
@click.option("--val", multiple=True, metavar="[NAME=]FILE", help="Questions on which parameters may be chosen.")
@click.option("--fit", multiple=True, metavar="[NAME=]FILE", help="Questions that scorers learn from.")
@click.option("--near", multiple=True, metavar="[NAME=]FILE", help="Questions that have no right answer; repeat.")
@click.option("--far", multiple=True, metavar="[NAME=]FILE", help="Likewise, further away.")
@click.option("--shifted", multiple=True, metavar="[NAME=]FILE", help="Other questions with right answers; repeat.")
@click.option("--val-from-fit", type=float, metavar="SHARE", help="Take this share of the fit rows as validation set.")
@click.option(
    "--abstain",
    default="none",
    show_default=True,
    metavar="none|last|N|TEXT",
    help='Which option is "I don\'t know": the last, its number from 0, or its text.',
)
@click.option(
    "--normalise",
    type=click.Choice(["none", "characters"]),
    default="none",
    show_default=True,
    help="Divide log-likelihoods by the option's length (lm-evaluation-harness samples only).",
)
@click.option("--prompt", type=int, default=0, show_default=True, help="Which prompt, where a file has several.")
@click.option("--prediction", metavar="COLUMN", help="Which column of a CSV holds the chosen options.")
@click.option("--options", "count", type=int, metavar="K", help="Only questions with so many options.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw of --val-from-fit.")
@click.option("--replace", is_flag=True, help="Replace banks of the same names that have other content.")
@HOME
@JSON
def import_options_(
    model: str,
    suite: str,
    model_seed: int | None,
    test: tuple[str, ...],
    val: tuple[str, ...],
    fit: tuple[str, ...],
    near: tuple[str, ...],
    far: tuple[str, ...],
    shifted: tuple[str, ...],
    val_from_fit: float | None,
    abstain: str,
    normalise: Normalise,
    prompt: int,
    prediction: str | None,
    count: int | None,
    seed: int,
    replace: bool,
    home: str | None,
    as_json: bool,
) -> None:
    """Banks and a suite out of a language model's option log-likelihoods: a question is a row, an option a class.

    FILE is samples_*.jsonl of lm-evaluation-harness (--log_samples), an .npz with loglik (n, K) and truth (n,), an .npz
    with X_scores and X_targets for each subject X, or a CSV of hard predictions with label and unknown_idx.
    """
    roles = {"fit": fit, "val": val, "test": test, "near": near, "far": far, "shifted": shifted}
    done = import_options(
        find_home(home),
        model=model,
        suite=suite,
        roles=roles,
        reading=Reading(abstain, normalise, prompt, prediction, count),
        model_seed=model_seed,
        val_from_fit=val_from_fit,
        replace=replace,
        seed=seed,
    )
    if as_json:
        print_json({**document(done.imported, model), "left_out": dict(done.left_out)})
        return
    for name, reasons in done.left_out.items():
        for reason, number in reasons.items():
            click.echo(f"left out of {name}: {number} questions ({reason})")
    click.echo(summary(done.imported, model))
