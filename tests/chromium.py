"""Debian's Chromium, driven by Playwright; without one, the tests are skipped by name."""

import os
import shutil
from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Browser, Page, async_playwright

FLAGS = [
    "--no-sandbox",  # CI runs as root, where Chromium's sandbox does not start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example 127.0.0.1",  # names of somebody else that point here
]


def chromium() -> str | None:
    """The Chromium of this machine."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
async def browser() -> AsyncGenerator[Browser, None]:
    """One Chromium a test: it belongs to the test's event loop."""
    executable = chromium()
    if executable is None:
        reason = "no Chromium here; install Debian's package chromium"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}: in CI the browser's tests must run")
        pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncGenerator[Page, None]:
    """A fresh page that fails the test when a script on it breaks or its policy is violated."""
    context = await browser.new_context(viewport={"width": 1100, "height": 800})
    page = await context.new_page()
    page.set_default_timeout(10_000)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on(
        "console",
        lambda message: broken.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield page
    await context.close()
    assert broken == []
