"""The system's Chromium, for tests of what a person sees."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PLAIN = ("--no-sandbox", "--disable-gpu", "--disable-software-rasterizer")
"""No sandbox within a container; no WebGL in software, by which Prefect's UI draws the graph of a run sixty times a second:
two fifths of the CPU time of these tests, for nothing that they look at."""
needed = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")


@contextmanager
def chromium() -> "Iterator[Browser]":
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=PLAIN)
        yield browser
        browser.close()


@contextmanager
def opened(browser: "Browser", address: str) -> "Iterator[Page]":
    """A page by its address, a file's or a server's. It must have worked without a word on the console or a failed request,
    and have asked for nothing but what lies beside it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    troubles: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: troubles.append(request.url))
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(address)
    yield page
    assert troubles == []
    root = address.removesuffix("index.html")
    assert asked[0] == address and all(url.startswith(root) for url in asked) and len(asked) > 3
    page.close()
