"""Tables against ones written by hand: numbers, marks, order, footnotes, reasons and escapes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ood_bench.errors import RequestError
from ood_bench.render import render, to_html
from ood_bench.render.latex import escape as escape_latex
from ood_bench.render.markdown import escape as escape_markdown
from ood_bench.store.row import Row


def row(scorer: str, name: str, auroc: float | None, fpr: float = 0.5, **fields: Any) -> Row:
    plain = Row(
        suite="toy",
        model="net",
        scorer=scorer,
        params="{}",
        set=name,
        group="far" if name == "c" else "near",
        n_seeds=1,
        auroc=auroc,
        fpr95_id_positive=None if auroc is None else fpr,
        fpr95_ood_positive=None if auroc is None else 1 - fpr,
        id_accuracy=0.9783,
        origin="ours",
        status="ok" if auroc is not None else "failed",
        reason=None if auroc is not None else "the score is NaN",
    )
    return replace(plain, **fields)


def line(scorer: str, near: float, far: float, **fields: Any) -> list[Row]:
    """Two near sets around `near`, one far set, and their means."""
    sets = [row(scorer, "a", near - 0.1, **fields), row(scorer, "b", near + 0.1, **fields)]
    means = [row(scorer, "mean", near, **fields), row(scorer, "mean", far, group="far", **fields)]
    return [*sets, means[0], row(scorer, "c", far, **fields), means[1]]


ROWS = [*line("msp", 0.7, 0.75), *line("vim", 0.8, 0.85, fpr=0.25), *line("knn", 0.8, 0.6, fpr=1 / 3)]


def test_the_means_by_hand() -> None:
    assert (
        render(ROWS, detail=False)
        == """\
toy · net · ID accuracy 97.83 %
               near mean                 far: c
scorer    AUROC ↑  FPR95 ID+ ↓    AUROC ↑  FPR95 ID+ ↓
──────────────────────────────────────────────────────
vim        80.00*       25.00*     85.00*       25.00*
msp        70.00+       50.00      75.00+       50.00
knn        80.00*       33.33+     60.00        33.33+

In percent. AUROC: chance that an ID sample scores higher than an OOD sample; FPR95 (ID positive:
    share of OOD accepted with 95 % of ID kept).
* best, + second best.
"""
    )


def test_every_set_stands_beside_the_means_where_it_fits_and_below_where_it_was_asked_for() -> None:
    wide, narrow, asked = render(ROWS, width=120), render(ROWS, width=60), render(ROWS, width=60, detail=True)
    assert len(re.findall("^scorer", wide, re.MULTILINE)) == 1
    assert re.search(r"^ +a +b +near mean +far: c$", wide, re.MULTILINE)
    assert "--detail" in narrow
    assert not re.search(r"^ +a +b", narrow, re.MULTILINE)
    assert len(re.findall("^scorer", asked, re.MULTILINE)) == 2
    assert "--detail" not in wide + asked
    for text in (narrow, asked):
        assert max(map(len, text.splitlines())) <= 60


def test_the_orientation_of_fpr95_is_in_the_header() -> None:
    for fmt in ("text", "markdown", "latex", "html"):
        inside = render(ROWS, fmt=fmt)
        outside = render(ROWS, fmt=fmt, fpr="ood_positive")
        assert "FPR95 ID+" in inside
        assert "FPR95 OOD+" not in inside
        assert "FPR95 OOD+" in outside
        assert "share of ID rejected with 95" in " ".join(outside.split())
        assert "75.00" in outside


def test_best_and_second_best_with_ties_go_by_what_is_printed() -> None:
    values = {"a": 0.90001, "b": 0.90004, "c": 0.8, "d": 0.8, "e": 0.7}
    text = render([row(name, "mean", value) for name, value in values.items()], metrics=["auroc"])
    marks = re.findall(r"^([a-e]) .*?(\d\d\.\d\d)([*+]?)$", text, re.MULTILINE)
    assert marks == [
        ("b", "90.00", "*"),
        ("a", "90.00", "*"),
        ("c", "80.00", "+"),
        ("d", "80.00", "+"),
        ("e", "70.00", ""),
    ]


def test_lower_is_better_for_fpr_and_a_lone_or_level_column_has_no_best() -> None:
    text = render([row("a", "mean", 0.5, 0.2), row("b", "mean", 0.5, 0.3)])
    assert re.search(r"^a +50.00 +20.00\*$", text, re.MULTILINE)
    assert re.search(r"^b +50.00 +30.00\+$", text, re.MULTILINE)
    assert "*" not in render([row("a", "mean", 0.5)])


def test_a_terminal_gets_styles_instead_of_signs() -> None:
    text = render(ROWS, detail=False, color=True)
    assert "\x1b[1m80.00\x1b[0m" in text
    assert "\x1b[4m70.00\x1b[0m" in text
    assert "80.00*" not in text
    assert "\x1b" not in render(ROWS)


def test_incomplete_lines_come_last_and_equal_ones_by_name() -> None:
    rows = [
        *line("z", 0.6, 0.6),
        *line("y", 0.6, 0.6),
        row("best-but-for-far", "mean", 0.99),
        row("nothing", "a", None),
    ]
    rows.append(row("best-but-for-far", "c", None))
    rows.append(row("best-but-for-far", "mean", None, group="far", reason="the mean over far needs c"))
    labels = re.findall(r"^(\S+) .*(?:\d|–)\S*$", render(rows, detail=False), re.MULTILINE)
    assert labels == ["y", "z", "best-but-for-far", "nothing"]


def test_cells_without_a_number_have_their_reason_below_once() -> None:
    rows = [
        *line("msp", 0.7, 0.75),
        *(row(scorer, name, None, status="skipped", reason="no head") for scorer in ("vim", "react") for name in "abc"),
        row("knn", "a", 0.6),
        row("knn", "b", None),
        row("knn", "mean", None, reason="the mean over near needs b"),
        row("knn", "c", 0.6),
        row("knn", "mean", 0.6, group="far"),
    ]
    text = render(rows)
    assert "failed: knn on b: the score is NaN\nskipped: react; vim: no head\n" in text
    assert "the mean over near needs" not in text
    assert re.search(r"^vim( +–)+$", text, re.MULTILINE)
    assert "0.00" not in text.replace("70.00", "").replace("60.00", "").replace("80.00", "").replace("50.00", "")


def test_marked_cells_have_a_footnote() -> None:
    rows = [row("a", "mean", 0.5, reason="constant on this set"), row("b", "mean", 0.6, reason="computed in bf16")]
    rows += [row("c", "mean", 0.4, reason="constant on this set")]
    text = render(rows)
    assert "60.00*[a]" in text
    assert "50.00+[b]" in text
    assert "40.00[b]" in text
    assert "[a] computed in bf16\n[b] constant on this set\n" in text
    assert "60.00</strong><sup>a</sup>" in to_html(rows)
    assert r"\textbf{60.00}$^{a}$" in render(rows, fmt="latex")


def test_lines_of_one_name_are_told_apart_by_what_differs() -> None:
    rows = [
        row("knn", "mean", 0.9, params='{"k":50,"norm":true}'),
        row("knn", "mean", 0.8, params='{"k":200,"norm":true}'),
        row("ash", "mean", 0.7, profile="openood-v1.5"),
        row("ash", "mean", 0.6),
        row("mine", "mean", 0.5, origin="plugin"),
        row("msp", "mean", 0.4),
        row("msp", "mean", None, params=None, status="skipped", reason="twice"),
    ]
    text = render(rows)
    labels = re.findall(r"^(.+?) {2,}\S*(?:\d\d\.\d\d|–)", text, re.MULTILINE)
    assert labels == ["knn (k=50)", "knn (k=200)", "ash (openood-v1.5)", "ash", "mine (plugin)", "msp", "msp"]


def test_each_checkpoint_has_its_panel_and_seeds_their_deviation() -> None:
    rows = [row("a", "mean", 0.5, model_seed=1), row("a", "mean", 0.6, model_seed=2)]
    assert re.findall(r"^toy · (\S+)", render(rows), re.MULTILINE) == ["net@1", "net@2"]
    text = render([row("a", "mean", 0.5, n_seeds=3, auroc_std=0.0123)], ddof=0)
    assert "50.00 ± 1.23" in text
    assert "toy · net · 3 seeds" in text
    assert "standard deviation over seeds (ddof 0)" in text


def test_accuracies_that_differ_have_a_column() -> None:
    text = render([row("a", "mean", 0.5), row("b", "mean", 0.6, id_accuracy=0.5)])
    assert re.search(r"^b .*50\.00$", text, re.MULTILINE)
    assert "ID accuracy" not in text


NASTY = "<script>a|b*_$%&#{~^\\\x1b[31m\n"


@pytest.mark.parametrize("fmt", ["text", "markdown", "latex", "html"])
def test_names_and_reasons_are_harmless_in_every_format(fmt: Any) -> None:
    rows = [
        row(NASTY, NASTY, 0.5, group=NASTY, suite=NASTY, model=NASTY, protocol=NASTY, reason=NASTY),
        row("other", NASTY, None, group=NASTY, suite=NASTY, model=NASTY, protocol=NASTY, reason=NASTY),
    ]
    text = render(rows, fmt=fmt)
    assert "\x1b" not in text
    assert "\\x1b" in text.replace(r"\textbackslash{}", "\\").replace("\\\\", "\\")
    if fmt in ("markdown", "html"):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
    if fmt == "markdown":
        table = [one for one in text.splitlines() if one.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", one)) for one in table} == {4}
    if fmt == "latex":
        plain = re.sub(r"\\(?:[a-z]+(?:\([a-z]+\))?|[&%$#_{}\\])", "", text.partition("\n")[2])
        assert not re.search(r"[#_~|<]", plain)


def test_escapes() -> None:
    assert escape_markdown("a|b<i>_x_`$") == r"a\|b&lt;i&gt;\_x\_\`\$"
    assert escape_latex("50 % of a_b & {c}\\d~^") == (
        r"50 \% of a\_b \& \{c\}\textbackslash{}d\textasciitilde{}\textasciicircum{}"
    )


def test_markdown_and_latex_by_hand() -> None:
    rows = [row("vim", "mean", 0.9), row("msp", "mean", 0.8), row("knn", "mean", 0.7)]
    assert (
        render(rows, fmt="markdown", metrics=["auroc"])
        == """\
**toy · net · ID accuracy 97.83 %**

| scorer | near mean AUROC ↑ |
| :--- | ---: |
| vim | **90.00** |
| msp | <u>80.00</u> |
| knn | 70.00 |

In percent. AUROC: chance that an ID sample scores higher than an OOD sample.  
Bold: best; underlined: second best.  
"""  # noqa: W291  # two spaces end a line in Markdown
    )
    latex = render(rows, fmt="latex", metrics=["auroc"]).splitlines()
    start = latex.index(r"\begin{tabular}{lr}")
    assert latex[start : start + 10] == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r" & \multicolumn{1}{c}{near mean} \\",
        r"\cmidrule(lr){2-2}",
        r"scorer & AUROC $\uparrow$ \\",
        r"\midrule",
        r"vim & \textbf{90.00} \\",
        r"msp & \underline{80.00} \\",
        r"knn & 70.00 \\",
        r"\bottomrule",
    ]


def test_csv_is_the_leaderboards_with_shares() -> None:
    text = render(ROWS, fmt="csv")
    assert text.startswith("schema,suite,protocol,model,")
    assert ",0.800000," in text
    assert len(text.splitlines()) == len(ROWS) + 1


def test_requests_that_cannot_be_met() -> None:
    with pytest.raises(RequestError, match=r"no metric of a table is named 'auruc' \(did you mean 'auroc'"):
        render(ROWS, metrics=["auruc"])
    with pytest.raises(RequestError, match="at least one row, got none"):
        render([])
