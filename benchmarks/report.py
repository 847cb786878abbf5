"""The tables of a benchmark run, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.machine import Limits
from benchmarks.ours import Alone, Together
from benchmarks.peers.compare import Versus, Whole, geometric_mean
from benchmarks.streamed import Streamed


def machine_table(name: Mapping[str, object], limits: Limits) -> str:
    said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in name.items() if value is not None)
    rows = [
        ("copy (read + write)", f"{limits.copy / 1e9:.1f} GB/s"),
        ("row maximum over the logits", f"{limits.row_max / 1e9:.1f} GB/s"),
        ("row maximum over the fit features, from main memory", f"{limits.read / 1e9:.1f} GB/s"),
        (
            "logsumexp over the logits",
            f"{1e3 * limits.logsumexp:.1f} ms ({1e3 * limits.logsumexp_double:.1f} in float64)",
        ),
        ("100 largest logits in order", f"{1e3 * limits.select_100:.1f} ms (torch.topk {1e3 * limits.topk_100:.1f})"),
        ("all logits in order", f"{1e3 * limits.select_all:.1f} ms"),
        ("sgemm", f"{limits.sgemm / 1e9:.0f} GFLOP/s"),
        ("dgemm", f"{limits.dgemm / 1e9:.0f} GFLOP/s"),
        ("dsyrk", f"{limits.dsyrk / 1e9:.0f} GFLOP/s (of a whole product)"),
        (f"eigh of {limits.size.d} x {limits.size.d}, float64", f"{limits.eigh:.2f} s"),
        ("file read (cached)", f"{limits.disk / 1e9:.1f} GB/s"),
    ]
    return f"{said}\n\n" + table(("limit", "measured"), rows)


def alone_table(rows: Sequence[Alone]) -> str:
    """Each scorer by itself; its ratio to what it must do at least."""
    body = [
        (
            row.scorer,
            milliseconds(row.fit),
            milliseconds(row.score),
            "" if row.score_bound is None else milliseconds(row.score_bound),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            "" if row.total_ratio is None else f"{row.total_ratio:.2f}",
            "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
        )
        for row in sorted(rows, key=lambda row: row.scorer)
    ]
    return table(("scorer", "fit ms", "score ms", "score bound ms", "score / bound", "all / bound", "peak MiB"), body)


def together_line(run: Together, family: float, family_bound: float) -> str:
    peak = "" if run.peak_mib is None else f", peak {run.peak_mib:.0f} MiB above the banks"
    return (
        f"All {run.scorers} scorers in one run: fit {run.fit:.1f} s, score {run.score:.1f} s, "
        f"{run.ratio:.2f} times the sum of the distinct work{peak}. "
        f"All float32 scorers of the logits together: {1e3 * family:.0f} ms, {family / family_bound:.2f} times the sum of "
        f"one row maximum, one logsumexp and one selection ({1e3 * family_bound:.0f} ms)."
    )


def peers_table(rows: Sequence[Versus], whole: Whole | None, least: Mapping[str, float]) -> str:
    """A peer's methods beside ours. `least`: by spec, the seconds that any implementation takes at least here."""
    body = [
        (
            row.method,
            row.ours,
            _seconds(row.fit, row.at_least),
            _seconds(row.score, False) + (" (extrapolated)" if row.extrapolated else ""),
            f"{row.our_fit:.3f}",
            f"{row.our_score:.3f}" + ("" if row.our_score_single is None else f" (float32 {row.our_score_single:.3f})"),
            "" if row.speedup is None else (">" if row.at_least else "") + f"{row.speedup:.1f}",
            "" if row.agreement is None else f"{row.agreement:.5f}",
            row.trouble or "",
        )
        for row in rows
    ]
    text = table(
        ("method", "ours", "its fit s", "its score s", "our fit s", "our score s", "times faster", "Spearman", ""), body
    )
    if whole is None:
        return text
    return (
        f"{text}\n\nGeometric mean {geometric_mean(rows):.1f} ({geometric_mean(rows, least):.1f} if ours took no more than "
        f"their lower bounds). All {whole.methods} methods: {whole.seconds:.1f} s one "
        f"after the other, {whole.ours:.1f} s in one run of ours: {whole.seconds / whole.ours:.0f} times."
    )


def streamed_table(rows: Sequence[Streamed]) -> str:
    body = [
        (
            row.group,
            row.scorers,
            f"{row.n_fit:,}",
            f"{row.n:,}",
            f"{row.fit:.0f}",
            f"{row.score:.1f}" + (f" ({row.extrapolated:.0f} for all, extrapolated)" if row.extrapolated else ""),
            f"{row.budget_gib:g}",
            "" if row.peak_gib is None else f"{row.peak_gib:.2f}",
        )
        for row in rows
    ]
    text = table(("group", "scorers", "fit rows", "scored rows", "fit s", "score s", "budget GiB", "peak GiB"), body)
    own = [(name, f"{fit:.2f}", f"{score:.2f}") for row in rows for name, (fit, score) in sorted(row.own.items())]
    shared = [
        (what, f"{seconds:.2f}") for row in rows for what, seconds in {**row.shared_fit, **row.shared_score}.items()
    ]
    return (
        f"{text}\n\nWhat each scorer takes for itself:\n\n{table(('scorer', 'fit s', 'score s'), own)}\n\n"
        f"What several share:\n\n{table(('pass or intermediate', 's'), shared)}"
    )


def table(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in body]
    return "\n".join(lines)


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def _seconds(seconds: float | None, at_least: bool) -> str:
    return "" if seconds is None else (">" if at_least else "") + f"{seconds:.3f}"
