"""`ood-bench query` and `ood-bench recompute`: questions to the store. Neither needs torch."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ood_bench.cli.options import HOME, JSON, print_json
from ood_bench.cli.tables import show
from ood_bench.errors import RequestError
from ood_bench.home import find_home
from ood_bench.store.leaderboard import named
from ood_bench.store.query import query as run_query
from ood_bench.store.row import Row
from ood_bench.store.rows import rows_of
from ood_bench.store.selection import suites_with_records
from ood_bench.store.store import Store
from ood_bench.store.uncertainty import with_intervals
from ood_bench.suites import load_suite


@click.command()
@click.argument("sql")
@HOME
@JSON
def query(sql: str, home: str | None, as_json: bool) -> None:
    """Answer SQL over what is stored, for example

    \b
      ood-bench query "SELECT scorer, model, avg(auroc) FROM rows WHERE set = 'mean' GROUP BY ALL ORDER BY 3 DESC"
      ood-bench query "SELECT scorer, sum(score_seconds) FROM records GROUP BY scorer"

    Tables: rows (the leaderboard's columns, shares in [0, 1]), records (one line per set of scores), runs. Needs the
    extra `query`: pip install "ood-bench[query]".
    """
    answer = run_query(find_home(home), sql)
    if as_json:
        lines = [[_plain(value) for value in line] for line in answer.lines]
        print_json({"schema": 1, "columns": list(answer.columns), "lines": lines})
    else:
        show(
            "lines",
            [dict(zip(answer.columns, line, strict=True)) for line in answer.lines],
            answer.columns,
            as_json=False,
        )


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


@click.command()
@click.option("--suite", "names", multiple=True, metavar="NAME", help="Only these suites. [default: all with records]")
@HOME
@JSON
def recompute(names: tuple[str, ...], home: str | None, as_json: bool) -> int:
    """Derive every metric and interval anew from stored scores, whose hashes are verified.

    Metrics are never stored; intervals are kept because they cost seconds, and are replaced. Exit code 1 where a kept
    interval was not what its scores give.
    """
    place = find_home(home)
    store = Store(place)
    suites = [load_suite(name, place) for name in names] if names else suites_with_records(store)
    if not suites:
        raise RequestError(f"there are no scores in {place.root} yet; run a suite first: ood-bench run")
    items = []
    moved: list[str] = []
    for suite in suites:
        rows = rows_of(store, suite)
        kept = with_intervals(store, rows)
        anew = with_intervals(store, rows, anew=True)
        moved += _moved(kept, anew)
        numbers = sum(row.status == "ok" for row in rows)
        items.append({"suite": suite.name, "rows": len(rows), "with numbers": numbers, "intervals": _count(anew)})
    if as_json:
        print_json({"schema": 1, "suites": items, "changed": moved})
        return int(bool(moved))
    show("suites", items, ("suite", "rows", "with numbers", "intervals"), as_json=False)
    for line in moved:
        click.echo(line)
    return int(bool(moved))


def _count(rows: Sequence[Row]) -> int:
    return sum(len(row.intervals) for row in rows)


def _moved(kept: Sequence[Row], anew: Sequence[Row]) -> list[str]:
    return [
        f"{named(after)}: the kept interval of {metric} was [{interval.low}, {interval.high}], not "
        f"{'one' if (made := after.interval(metric)) is None else f'[{made.low}, {made.high}]'}"
        for before, after in zip(kept, anew, strict=True)
        for metric, interval in before.intervals
        if interval != after.interval(metric)
    ]
