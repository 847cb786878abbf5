"""The command line. Each command is a module that is imported only when it is called, so that --help is quick."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from ood_bench.errors import OodBenchError
from ood_bench.waiting import wait_briefly

# Command -> (module:attribute, what --help says). The help stands here so that listing commands imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("ood_bench.cli.run:run", "Score a suite's banks with any number of scorers and show the table."),
    "extract": ("ood_bench.cli.extract:extract", "Run a backbone over images and keep what it says as banks."),
    "datasets": ("ood_bench.cli.datasets:datasets", "Say which images are there, fetch and list those that are not."),
    "import": ("ood_bench.cli.importing:import_", "Turn tensors that you already have into banks and a suite."),
    "import-options": (
        "ood_bench.cli.importing_options:import_options_",
        "Turn a language model's option log-likelihoods into banks and a suite.",
    ),
    "list": ("ood_bench.cli.listing:list_", "List scorers, estimators, models, suites, sets, banks or runs."),
    "table": ("ood_bench.cli.table:table", "Render stored results as text, Markdown, LaTeX, CSV or HTML."),
    "import-scores": (
        "ood_bench.cli.import_scores:import_scores",
        "Bring per-sample scores from other programs into the tables, marked.",
    ),
    "compare": ("ood_bench.cli.compare:compare", "Test stored scorers against each other, and rank them."),
    "tune": ("ood_bench.cli.tune:tune", "Choose hyper-parameters on validation sets, and show the whole curve."),
    "leaderboard": ("ood_bench.cli.leaderboard:leaderboard", "Publish results as CSV with their records."),
    "scores": ("ood_bench.cli.scores:scores", "Show single samples: ids, classes and scores, the worst first."),
    "recommend": ("ood_bench.cli.recommend:recommend", "Say which scorer suits a backbone, by stored results."),
    "cite": ("ood_bench.cli.cite:cite", "Print BibTeX for what was run."),
    "query": ("ood_bench.cli.query:query", "Answer SQL over stored rows, records and runs (needs DuckDB)."),
    "recompute": ("ood_bench.cli.query:recompute", "Derive every metric and interval anew from stored scores."),
    "store": ("ood_bench.cli.store:store", "Merge, check and tidy the store of records."),
    "plot": ("ood_bench.cli.plot:plot", "Draw a scorer's histogram, ROC or risk-coverage curve."),
    "site": ("ood_bench.cli.site:site", "Write a page to look at: tables, heat map, curves, sources."),
    "check-scorer": ("ood_bench.cli.check_scorer:check_scorer", "Run the contract suite on your own scorer file."),
    "threshold": ("ood_bench.cli.threshold:threshold", "Set a scorer's threshold and save it as a detector."),
    "bank": ("ood_bench.cli.bank:bank", "Verify or remove a bank."),
    "doctor": (
        "ood_bench.cli.doctor:doctor",
        "Say what is installed, which device there is, and where things are kept.",
    ),
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def __init__(self, *args: Any, commands_at: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands_at)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.commands_at:
            return None
        module, _, attribute = self.commands_at[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_at.items()])


@click.group(cls=Lazy, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version=version("ood-bench"), prog_name="ood-bench")
def cli() -> None:
    """Benchmark post-hoc out-of-distribution and uncertainty scores: run the backbone once, score everything.

    `ood-bench run` with no argument trains a small network on handwritten digits and scores it with every scorer.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done; 1 something in the run failed; 2 the request cannot be met."""
    wait_briefly()
    try:
        code = cli.main(args=arguments, prog_name="ood-bench", standalone_mode=False)
    except OodBenchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("Interrupted; finished work is kept, and the same command goes on from there.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
