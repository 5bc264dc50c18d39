"""Hostile Markdown, as an answer of a real server in Chromium and Firefox: nothing runs, loads or jams."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from firefox import Firefox
from hostile_markdown import ARM, Hostile, cases, files, watch
from playwright.async_api import Page
from serving import headwater

from headwater.web.response import Pace

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LIMIT, LONG_LIMIT = 10.0, 25.0
"""Seconds until an answer is shown, and one of `bombs.json`; an idle machine needs a tenth of them."""

Evaluate = Callable[[str], Awaitable[Any]]
Goto = Callable[[str], Awaitable[object]]


async def run(file: str, goto: Goto, evaluate: Evaluate, requests: Sequence[str]) -> None:
    """Show every case of a file; fails with all that went wrong, by the names of the cases."""
    every, long = cases(file), file.endswith(".json")
    limit = LONG_LIMIT if long else LIMIT
    wrong: dict[str, Any] = {}
    async with headwater(Hostile(every), pace=Pace(hold=0.02)) as server:
        base = str(server.client.base_url)
        for number, name in enumerate(every):
            # A chat of a few questions, so that one bomb does not lie beside all others.
            if number % (4 if long else 15) == 0:
                await evaluate("localStorage.clear()") if number else None
                await goto(base)
                await evaluate(ARM)
            seen = await evaluate(watch(name, limit))
            if seen["problems"] or seen["time"] > limit * 1000:
                wrong[name] = seen
        outside = [url for url in requests if not url.startswith((base, "data:", "blob:", "about:"))]
    assert wrong == {}
    assert outside == []


@pytest.mark.parametrize("file", files())
async def test_hostile_markdown_is_inert_in_chromium(page: Page, file: str) -> None:
    """No script runs, nobody else is called, only http(s) and mailto can be followed, and each is shown in time."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await run(file, page.goto, page.evaluate, requests)


@pytest.mark.parametrize("file", files())
async def test_hostile_markdown_is_inert_in_firefox(firefox: Firefox, file: str) -> None:
    """As in Chromium."""
    await run(file, firefox.goto, firefox.evaluate, firefox.requests)


def test_the_corpus_has_every_kind_of_hostility() -> None:
    """A file that is read wrongly would test nothing."""
    assert sum(len(cases(file)) for file in files()) > 200
