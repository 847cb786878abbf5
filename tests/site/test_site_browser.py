"""The page, driven in a real browser: what a reader clicks and types, what a keyboard alone can do, what leaks."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path
from typing import Any

import pytest
from opened_page import Made, Page
from site_cases import EVIL_SCORER, EVIL_SET, FORMULA, MODELS, SCORERS

from ood_bench.store.row import Row
from ood_bench.store.rows import rows_of
from ood_bench.store.store import Store
from ood_bench.suites import load_suite

NAMES = "tbody th.name a"
LINES = len(SCORERS) * len(MODELS)


def rows(made: Made, suite: str = "toy") -> list[Row]:
    return rows_of(Store(made.home), load_suite(suite, made.home))


def column(page: Page, index: int) -> list[float]:
    """The numbers of a column of the leaderboard, from the top."""
    code = "return [...document.querySelectorAll('tbody tr')].map(r => r.querySelectorAll('[data-cell]')[arguments[0]])"
    return [float(re.match(r"[\d.]+", text)[0]) for text in page.js(f"{code}.map(c => c.firstChild.data)", index)]  # type: ignore[index]


def test_every_number_is_the_stored_one(page: Page, made: Made) -> None:
    page.open("#model=resnet18&suite=toy")
    shown = dict(zip(page.texts(NAMES), zip(*(column(page, i) for i in range(4)), strict=True), strict=True))
    for scorer, cells in shown.items():
        of_scorer = [r for r in rows(made) if r.model == "resnet18" and scorer in (r.scorer, label(r))]
        by_set = {(row.group, row.set): row.auroc for row in of_scorer}
        expected = [by_set["near", "a"], by_set["near", EVIL_SET], by_set["near", "mean"], by_set["far", "c"]]
        assert cells == tuple(float(f"{100 * (value or 0):.2f}") for value in expected)
    assert len(shown) == len(SCORERS)


def label(row: Row) -> str:
    found = re.search(r'"k":(\d+)', row.params or "")
    return f"{row.scorer}:k={found[1]}" if found else row.scorer


def test_sorting_by_a_column_and_back(page: Page) -> None:
    page.open("#suite=toy")
    assert len(page.all(NAMES)) == LINES
    for expected, aria in ((True, "descending"), (False, "ascending")):
        page.one("[data-sort='far/c:auroc']").click()
        values = column(page, 3)
        assert values == sorted(values, reverse=expected)
        assert page.one("[data-sort='far/c:auroc']").find_element("xpath", "..").get_attribute("aria-sort") == aria
    page.one("[data-sort='name']").click()
    assert page.texts(NAMES)[: len(MODELS)] == sorted(page.texts(NAMES))[: len(MODELS)]


def test_filters_by_word_family_backbone_and_suite(page: Page) -> None:
    page.open("#suite=toy")
    page.one("input[type=search]").send_keys("knn 50")
    assert set(page.texts(NAMES)) == {"knn:k=50", "knn:k=1", "knn:k=5"}  # resnet50, or k=50
    assert page.js("return document.activeElement.type") == "search"
    page.one("input[type=search]").clear()
    page.one("input[type=search]").send_keys(" ")
    page.choose("family", "features")
    assert set(page.texts(NAMES)) == {"knn:k=1", "knn:k=5", "knn:k=50"}
    page.choose("model", "family:ResNet")
    assert set(page.texts("tbody td.text")) == {"resnet18", "resnet50"}
    page.choose("model", "resnet50")
    assert len(page.all(NAMES)) == 3
    page.choose("suite", "small")
    assert page.texts(NAMES) == ["msp"]


def test_a_filter_that_fits_nothing_says_so(page: Page) -> None:
    page.one("input[type=search]").send_keys("zzz")
    assert "Nothing matches" in page.one("#main").text


@pytest.mark.parametrize("orientation", ["id_positive", "ood_positive"])
def test_switching_the_metric_says_the_orientation(page: Page, made: Made, orientation: str) -> None:
    page.open("#suite=toy&model=resnet18")
    page.choose("metric", f"fpr95_{orientation}")
    heads = set(page.texts("thead button")) - {"scorer"}
    assert heads == {f"FPR95 {'ID' if orientation == 'id_positive' else 'OOD'}+ ↓"}
    assert orientation.partition("_")[0].upper() + " positive" in page.one(".legend").text
    values = column(page, 3)
    (msp,) = [r for r in rows(made) if (r.scorer, r.model, r.set) == ("msp", "resnet18", "c")]
    shown = values[page.texts(NAMES).index("msp")]
    assert shown == float(f"{100 * getattr(msp, f'fpr95_{orientation}'):.2f}")


def test_best_and_second_best_by_what_is_printed(page: Page) -> None:
    page.open("#suite=toy&model=resnet18")
    values = column(page, 0)
    code = "return [...document.querySelectorAll(arguments[0])].map(cell => cell.firstChild.data)"
    marked = {kind: page.js(code, f"td.{kind}") for kind in ("best", "second")}
    first, second = sorted(set(values), reverse=True)[:2]
    assert f"{first:.2f}" in marked["best"]
    assert f"{second:.2f}" in marked["second"]


def test_a_link_restores_the_view(page: Page) -> None:
    page.open("#suite=toy")
    page.choose("model", "resnet50")
    page.choose("metric", "aupr_out")
    page.choose("sets", "means")
    page.one("[data-sort='far/c:aupr_out']").click()
    page.one("input[type=search]").send_keys("n")
    before = page.texts("tbody tr"), page.texts("thead tr"), page.browser.current_url
    page.browser.switch_to.new_window("tab")
    try:
        page.browser.get(before[2])
        assert (page.texts("tbody tr"), page.texts("thead tr"), page.browser.current_url) == before
        assert page.one("select[data-key=model]").get_property("value") == "resnet50"
    finally:
        page.browser.close()
        page.browser.switch_to.window(page.browser.window_handles[0])


def test_following_a_scorer_and_going_back(page: Page) -> None:
    page.open("#suite=toy&model=resnet18")
    index = page.texts(NAMES).index("knn:k=5")
    page.follow(page.all(NAMES)[index])
    assert page.one("h2").text == "knn:k=5 on resnet18"
    assert page.texts("[data-figure=histogram] b") == ["a", EVIL_SET, "c"]
    assert page.texts("figure:not([data-figure=histogram]) b") == ["ROC", "Risk-coverage", "Parameter k"]
    assert len(page.all("[data-figure='Parameter k'] circle")) == 6  # three values of k, two groups
    assert len(page.all("[data-figure=ROC] path.curve")) == 3
    page.browser.back()
    assert page.texts(NAMES)[index] == "knn:k=5"


def test_a_number_leads_to_its_records(page: Page, made: Made) -> None:
    page.open("#suite=toy&model=resnet18")
    page.all("tbody [data-cell]")[0].click()
    dialog = page.one("dialog[open]")
    records = re.findall(r"record\s+([0-9a-f]{64})", dialog.text)
    assert len(records) == 2
    for key in records:
        assert (made.home.records / key[:2] / f"{key}.json").exists()
    record = Store(made.home).get(records[1])
    assert record is not None
    for fact in (record.scores_sha256, record.key.bank_sha256, "torch 2.4", "2026-01-02T03:04:05Z", "ood-bench run"):
        assert fact in dialog.text
    assert "secret-host" not in page.browser.page_source
    assert re.search(r"95 %: [\d.]+–[\d.]+", dialog.text)
    page.one("dialog .close").click()
    assert page.all("dialog[open]") == []


def test_a_mean_leads_to_its_sets(page: Page) -> None:
    page.open("#suite=toy&model=resnet18")
    page.one("tbody td.mean").click()
    assert "Unweighted mean over" in page.one("dialog").text
    page.all("dialog .members button")[1].click()
    assert EVIL_SET in page.one("dialog h2").text


def test_the_keyboard_alone(page: Page) -> None:
    keys: Any = pytest.importorskip("selenium.webdriver.common.keys").Keys
    page.open("#suite=toy&model=resnet18")
    body = page.one("body")
    body.send_keys("/")
    assert page.js("return document.activeElement.type") == "search"
    page.js("document.activeElement.blur(); document.querySelector('[data-cell]').focus()")
    assert len(page.all("tbody [data-cell][tabindex='0']")) == 1  # one stop for Tab, the arrows do the rest
    active = page.browser.switch_to.active_element
    for key in (keys.ARROW_DOWN, keys.ARROW_RIGHT, keys.ARROW_DOWN):
        active.send_keys(key)
        active = page.browser.switch_to.active_element
    expected = (
        "return document.querySelectorAll('tbody tr')[2].querySelectorAll('[data-cell]')[1] === document.activeElement"
    )
    assert page.js(expected)
    active.send_keys(keys.ENTER)
    assert page.all("dialog[open]")
    page.browser.switch_to.active_element.send_keys(keys.ESCAPE)
    assert page.all("dialog[open]") == []
    assert page.js(expected)  # the focus is where it was
    page.one("[data-sort='far/c:auroc']").send_keys(keys.ENTER)
    assert page.js("return document.activeElement.dataset.sort") == "far/c:auroc"


def test_the_heat_map_has_a_cell_per_scorer_and_backbone(page: Page) -> None:
    page.open("#suite=toy")
    page.follow(page.all("nav a")[1])
    assert page.texts("thead th")[1:] == list(MODELS)
    assert len(page.all("tbody [data-cell]")) == LINES
    colours = {cell.value_of_css_property("background-color") for cell in page.all("tbody [data-cell]")}
    assert len(colours) > 3
    page.choose("model", "resnet18")
    assert page.texts("thead th")[1:] == ["a", EVIL_SET, "near mean", "c"]
    page.all("tbody [data-cell]")[0].click()
    assert page.all("dialog[open]")


def test_a_further_task_and_its_metrics(page: Page) -> None:
    page.open("#suite=toy")
    page.choose("task", "selective")
    assert {"AURC ↓", "failure AUROC ↑"} <= set(page.texts("select[data-key=metric] option"))
    assert page.texts("thead th.set") == ["test"]
    page.all("tbody [data-cell]")[0].click()
    assert "--task selective" in page.one("dialog").text


def test_light_and_dark(page: Page) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    theme = "return document.documentElement.dataset.theme"
    light = page.js(background)
    page.media("dark")
    page.until(theme, "dark")
    dark = page.js(background)
    assert light != dark
    page.one("#theme").click()  # light, whatever the system says
    page.until(background, light)
    page.one("#theme").click()
    page.media("light")
    page.until("return matchMedia('(prefers-color-scheme: dark)').matches", False)
    page.until(background, dark)
    page.open()  # remembered
    page.until(background, dark)


@pytest.mark.parametrize("view", ["table", "heat", "scorer"])
def test_a_phone_does_not_scroll_sideways(page: Page, view: str) -> None:
    page.size(390, 844)
    page.open(f"#suite=toy&view={view}")
    assert page.js("return document.documentElement.scrollWidth") <= 390
    page.all("tbody [data-cell]")[0].click()
    left, right = page.js(
        "const box = document.querySelector('dialog').getBoundingClientRect(); return [box.left, box.right]"
    )
    assert left >= 0
    assert right <= 390


def test_header_and_first_column_stay(page: Page) -> None:
    page.size(700, 500)
    page.open("#suite=toy&metric=auroc%2Bfpr95_id_positive")
    place = "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left, b.top]"
    selectors = ("thead tr:nth-child(2) th:nth-child(3)", "tbody tr:nth-child(3) th")
    before = [page.js(place, each) for each in selectors]
    page.js("document.querySelector('.frame').scrollTo(120, 60)")
    after = [page.js(place, each) for each in selectors]
    assert after[0][1] == before[0][1]  # the header's height
    assert after[0][0] < before[0][0]  # ... moved sideways with its column
    assert after[1][0] == before[1][0]
    assert after[1][1] < before[1][1]


def test_names_that_are_markup_are_shown_as_they_are(page: Page) -> None:
    page.open("#suite=toy&model=" + "vit-%22b%22")
    assert {EVIL_SCORER, FORMULA} <= set(page.texts(NAMES))
    assert EVIL_SET in page.texts("thead th.set")
    assert page.all("main img, main script, main b b, h1 mark") == []
    assert page.texts("h2")[0].startswith("Toys & <b>more</b>")
    page.follow(page.all(NAMES)[page.texts(NAMES).index(EVIL_SCORER)])
    assert EVIL_SCORER in page.one("h2").text


def test_an_address_that_is_markup_is_harmless(page: Page) -> None:
    page.open(
        "#suite=toy&view=%3Cimg%20src=x%3E&q=%3Cimg%20src%3Dx%20onerror%3D1%3E&scorer=%22%3E&sort=__proto__&model=zz"
    )
    assert page.all("main img") == []
    assert page.one("input[type=search]").get_property("value") == "<img src=x onerror=1>"


def test_the_policy_lets_no_other_script_run(page: Page) -> None:
    page.js("const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)")
    assert page.js("return window.ran") is None
    assert any("Content Security Policy" in error for error in page.errors())


def test_the_csv_holds_what_is_shown_and_no_formula(page: Page, made: Made, tmp_path: Path) -> None:
    page.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.open("#suite=toy&model=resnet18&sets=means")
    page.one("#csv").click()
    file = tmp_path / "toy-ood-table.csv"
    for _ in range(100):
        if file.exists():
            break
        time.sleep(0.05)
    table = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    assert table[0] == ["suite", "task", "backbone", "scorer", "params", "auroc near mean", "auroc far/c"]
    assert [line[3].removeprefix("'") for line in table[1:]] == page.texts(NAMES)
    assert any(line[3] == f"'{FORMULA}" for line in table)
    assert not any(cell.startswith(("=", "+", "-", "@")) for line in table for cell in line)
    (msp,) = [line for line in table if line[3] == "msp"]
    (row,) = [r for r in rows(made) if (r.scorer, r.model, r.group, r.set) == ("msp", "resnet18", "near", "mean")]
    assert float(msp[5]) == pytest.approx(row.auroc, abs=5e-7)  # six decimals
