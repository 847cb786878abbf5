"""A page made from a small home, and a real browser to open it in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from opened_page import Made, Page
from site_cases import make_home

from ood_bench.cli.site import site

FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, where Chromium has no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("site")
    home = make_home(root / "home")
    arguments = [str(root / "out"), "--home", str(home.root), "--title", "Bench & <mark>", "--intervals"]
    done = CliRunner().invoke(site, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Made(home, root / "out" / "index.html")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests, or a skip that says what is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra `test`)")
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("Chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def page(chromium: Any, made: Made) -> Iterator[Page]:
    """The opened page. Afterwards: nothing was logged, and nothing but the file was asked for."""
    opened = Page(chromium, made.page)
    opened.size(1280, 800)
    opened.media("light")
    opened.open()
    opened.js("localStorage.clear()")
    opened.errors()
    opened.requested()  # what the browser asks for as it starts
    yield opened.open()
    assert opened.errors() == []
    asked = {url.partition("#")[0] for url in opened.requested() if not url.startswith(("data:", "blob:", "about:"))}
    assert asked == {made.page.as_uri()}
    assert opened.js("return document.title") == "Bench & <mark>"  # which the evil names would have changed
