"""A page opened in a browser, in the words that the tests use."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ood_bench.home import Home


@dataclass(frozen=True)
class Made:
    """A home and the page that was made from it."""

    home: Home
    page: Path


class Page:
    """The page in a browser: short words for what the tests do."""

    def __init__(self, browser: Any, file: Path) -> None:
        self.browser, self.file = browser, file

    def open(self, fragment: str = "") -> Page:
        self.browser.get("about:blank")  # a change of the fragment alone would not load the page anew
        self.browser.get(f"{self.file.as_uri()}{fragment}")
        return self

    def js(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(code, *arguments)

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def texts(self, selector: str) -> list[str]:
        return list(self.js("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector))

    def choose(self, key: str, value: str) -> None:
        """Select the option of a control as a user would."""
        self.one(f"select[data-key={key}] option[value='{value}']").click()

    def follow(self, link: Any) -> None:
        """Click a link within the page and wait for what it leads to: the page is drawn anew in the browser's own time."""
        self.js("for (const one of document.querySelectorAll('#main > *')) one.dataset.before = ''")
        link.click()
        self.until("return document.querySelector('#main > [data-before]')", None)

    def until(self, code: str, expected: object) -> None:
        """Wait until the browser has done what it does in its own time."""
        for _ in range(100):
            if self.js(code) == expected:
                return
            time.sleep(0.05)
        raise AssertionError(f"{code} should become {expected!r}, but is {self.js(code)!r} after five seconds")

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, scheme: str) -> None:
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def requested(self) -> list[str]:
        """The addresses of all requests since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [message["params"]["request"]["url"] for message in sent]
