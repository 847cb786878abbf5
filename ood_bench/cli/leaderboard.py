"""`ood-bench leaderboard`: results as CSV with the records they rest on. Only `external` imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import click

from ood_bench.bank.catalog import find_banks
from ood_bench.bank.manifest import Manifest
from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.cli.table import choose
from ood_bench.errors import RequestError
from ood_bench.home import Home, find_home
from ood_bench.shipped import shipped_files
from ood_bench.store import leaderboard as files
from ood_bench.store.leaderboard_check import Report
from ood_bench.store.leaderboard_check import check as check_table
from ood_bench.store.merging import SCORES
from ood_bench.store.merging import merge as merge_submissions
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.store.submission import opened, suite_of, write_submission
from ood_bench.suites import Suite, list_suites, load_suite, parse_suite
from ood_bench.tasks.publish import export_tasks

SUITE = click.option("--suite", metavar="NAME", help="Which suite. [default: that of the latest run]")
MODEL = click.option("--model", "models", multiple=True, metavar="NAME", help="Only these models.")
RUN = click.option("--run", "run_id", metavar="ID", help="Only what this run answered.")
PLUGINS = click.option("--plugins", is_flag=True, help="Include rows of plug-ins, which others cannot run.")


@click.group()
def leaderboard() -> None:
    """Publish results as CSV with their records, check them, and take those of others."""


@leaderboard.command()
@SUITE
@MODEL
@RUN
@click.option("--out", type=click.Path(path_type=Path), default="leaderboards", show_default=True, metavar="DIR")
@PLUGINS
@HOME
def export(
    suite: str | None, models: tuple[str, ...], run_id: str | None, out: Path, plugins: bool, home: str | None
) -> None:
    """Write DIR/<suite>.csv (shares in [0, 1]) and DIR/<suite>.records.jsonl (full precision and hashes).

    Tasks that have results get a table each, DIR/<suite>.<task>.csv.
    """
    place = find_home(home)
    store = Store(place)
    chosen, run = choose(place, store, suite, run_id)
    rows = rows_of(store, chosen, run=run, models=models, intervals=True)
    paths = files.export(rows, out, plugins=plugins)
    paths += export_tasks(store, chosen, out, run=run, models=models, plugins=plugins)
    for path in paths:
        click.echo(str(path))


@leaderboard.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--records", type=click.Path(path_type=Path), metavar="FILE", help="[default: the .records.jsonl beside]")
@click.option("--scores", type=click.Path(path_type=Path), metavar="FILE", help="[default: the .scores.zip beside]")
@click.option("--base", type=click.Path(path_type=Path), metavar="OLD.csv", help="List every change above 1e-4.")
@click.option("--allow-unverified", is_flag=True, help="Exit 0 though some rows can be compared with nothing.")
@HOME
@JSON
def check(
    path: Path,
    records: Path | None,
    scores: Path | None,
    base: Path | None,
    allow_unverified: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Hold a leaderboard (or every one in a folder) against its records, their scores, the suite and banks at hand.

    Metrics and intervals are computed anew from scores in the home and in <suite>.scores.zip beside the table. Every
    finding names the row and the column. Exit code 1 where there is one, or where a row can be compared with nothing.
    """
    place = find_home(home)
    # <suite>.<task>.csv has other columns
    tables = sorted(file for file in path.glob("*.csv") if "." not in file.stem) if path.is_dir() else [path]
    if not tables:
        raise RequestError(f"{path} should hold leaderboards as CSV, and has none")
    banks = {manifest.bank_sha256: manifest for _, manifest in find_banks(place)}
    reports = {table: _check(table, place, banks, records, scores, base) for table in tables}
    if as_json:
        print_json({"schema": 1, "tables": [document(table, report) for table, report in reports.items()]})
    else:
        for table, report in reports.items():
            click.echo(summary(table, report))
    bad = any(report.findings or (report.unverified and not allow_unverified) for report in reports.values())
    return int(bad)


def _check(
    table: Path,
    place: Home,
    banks: dict[str, Manifest],
    records: Path | None,
    scores: Path | None,
    base: Path | None,
) -> Report:
    beside = scores or table.with_name(f"{table.stem}{SCORES}")
    with ExitStack() as stack:
        stores = [stack.enter_context(opened(beside))] if scores is not None or beside.exists() else []
        suites = known_suites({row.suite for row in files.read(table)}, table.parent, place)
        return check_table(
            table, records=records, stores=[*stores, Store(place)], suites=suites, banks=banks, base=base
        )


def known_suites(names: Iterable[str], folder: Path, place: Home) -> dict[str, Suite]:
    """The suites of those names: shipped, or described beside the tables in `suites/`, or in the home."""
    found: dict[str, Suite] = {}
    own = {suite.name for suite in list_suites(place)}
    for name in names:
        described = folder / "suites" / f"{name}.toml"
        if name not in shipped_files("suites") and described.exists():
            found[name] = parse_suite(described, place)
        elif name in own:
            found[name] = load_suite(name, place)
    return found


def document(table: Path, report: Report) -> dict[str, object]:
    """What --json prints of one table."""
    return {
        "table": str(table),
        "rows": report.rows,
        "recomputed": report.recomputed,
        "recorded": report.recorded,
        "unverified": list(report.unverified),
        "findings": list(report.findings),
        "changes": list(report.changes),
    }


def summary(table: Path, report: Report) -> str:
    """What a person reads of one table."""
    lines = [f"{table}: {finding}" for finding in report.findings]
    lines += [f"{table}: unverified: {row}" for row in report.unverified]
    lines += [f"{table}: {change}" for change in report.changes]
    counts = f"{report.recomputed} follow from stored scores, {report.recorded} agree with their records alone"
    verdict = f"{len(report.findings)} findings" if report.findings else "no findings"
    lines.append(f"{table}: {report.rows} rows: {counts}, {len(report.unverified)} unverified; {verdict}")
    return "\n".join(lines)


@leaderboard.command()
@SUITE
@MODEL
@click.option("--scorer", "scorers", multiple=True, metavar="SPEC", help="Only these scorers.")
@RUN
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE.zip", help="A .zip, or a folder.")
@PLUGINS
@HOME
def submit(
    suite: str | None,
    models: tuple[str, ...],
    scorers: tuple[str, ...],
    run_id: str | None,
    out: Path,
    plugins: bool,
    home: str | None,
) -> None:
    """Bundle the records and scores of a suite for somebody else's leaderboard. Names of hosts are left out."""
    place = find_home(home)
    store = Store(place)
    chosen, run = choose(place, store, suite, run_id)
    rows = rows_of(store, chosen, run=run, models=models, scorers=scorers)
    count = write_submission(store, chosen, [row for row in rows if plugins or row.origin != "plugin"], out)
    click.echo(f"{out}: {count} records of {chosen.name}; send it, or: ood-bench leaderboard merge {out}")


@leaderboard.command()
@click.argument("submissions", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), default="leaderboards", show_default=True, metavar="DIR")
@PLUGINS
@HOME
def merge(submissions: tuple[Path, ...], into: Path, plugins: bool, home: str | None) -> None:
    """Check submissions and add their rows to DIR/<suite>.csv and its records. Nothing is written unless all is right.

    Rows are computed from the submitted scores, and set sizes held against the suite as it is known here.
    """
    place = find_home(home)
    banks = {manifest.bank_sha256: manifest for _, manifest in find_banks(place)}
    by_suite: dict[str, tuple[Suite, list[Path]]] = {}
    for path in submissions:
        with opened(path) as store:
            theirs = suite_of(store)
        known = known_suites([theirs.name], into, place).get(theirs.name, theirs)
        by_suite.setdefault(theirs.name, (known, []))[1].append(path)
    for known, paths in by_suite.values():
        done = merge_submissions(into, paths, known, banks=banks, plugins=plugins)
        for line in done.replaced:
            click.echo(f"replaced: {line}")
        click.echo(f"{done.table}: {len(done.new)} new rows, {len(done.replaced)} replaced, {done.same} there already")


@leaderboard.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--suite", metavar="NAME", help="Ours, to set beside theirs.")
@click.option("--model", metavar="NAME", help="Ours, to set beside theirs.")
@click.option("--arch", metavar="TEXT", help="Only their rows whose architecture is this, such as ResNet50.")
@click.option("--training", metavar="TEXT", help="Only their rows of this training, such as CrossEntropy.")
@click.option("--base", type=click.Path(path_type=Path), metavar="OLD", help="List what changed since an older copy.")
@click.option("--csv", "as_csv", is_flag=True, help="Print their rows with the columns of our leaderboards.")
@HOME
@JSON
def external(
    path: Path,
    suite: str | None,
    model: str | None,
    arch: str | None,
    training: str | None,
    base: Path | None,
    as_csv: bool,
    home: str | None,
    as_json: bool,
) -> None:
    """Read OpenOOD's leaderboard CSVs (one, or a folder of them) and set them beside ours. Nothing is stored.

    Their numbers are typed by hand and cannot be verified; those that are known to be wrong say so.
    """
    # importing the registry takes torch, which no other command here needs
    from ood_bench.cli.external import Wanted, report

    report(path, Wanted(suite, model, arch, training), find_home(home), base, as_csv=as_csv, as_json=as_json)
