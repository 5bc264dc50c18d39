"""The real page against a real server: its first load, a long chat that is opened, and an answer that is written."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, CDPSession, Page

from bench.ui_feeds import RATE, Paced, answer
from headwater.models.model import Model
from headwater.models.scripted import Scripted

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from chromium import chromium
from serving import headwater

__all__ = ["chromium", "first_load", "long_chat", "written"]

MESSAGES = 1000
KEPT = 0.95
"""A warning is printed when the server kept less than this part of the pace."""
FAST_3G = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
WATCH = """() => {
  const seen = (window.seen = { frames: 0, long: 0, longest: 0, began: performance.now(), shown: 0, pause: 0 })
  const frame = () => { seen.frames++; requestAnimationFrame(frame) }
  requestAnimationFrame(frame)
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      seen.long += duration
      seen.longest = Math.max(seen.longest, duration)
    }
  }).observe({ type: 'longtask' })
  new MutationObserver((changes) => {
    const answer = '[data-testid=message-assistant] .prose'
    if (!changes.some(({ target }) => (target.closest ? target : target.parentElement)?.closest(answer))) return
    const now = performance.now()
    if (seen.shown > 0) seen.pause = Math.max(seen.pause, now - seen.shown)
    seen.shown = now
  }).observe(document.body, { childList: true, characterData: true, subtree: true })
}"""
# The browser reports a long task some time after it ended; the last render must not be missed.
FIGURES = """async () => {
  const { frames, pause, began } = seen
  const fps = (frames / (performance.now() - began)) * 1000
  await new Promise((resolve) => setTimeout(resolve, 500))
  return [fps, seen.long / 1000, pause, seen.longest]
}"""
# A file from the service worker has no `transferSize`, and its size is the unpacked one: it was not sent for this load.
SENT = """() => performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .filter(({ name, transferSize }) => transferSize > 0 && !name.includes('/api/'))
    .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)"""
IN_VIEW = """(words) => [...document.querySelectorAll('[data-testid=message-assistant] p')].some((part) => {
  const { top, bottom } = part.getBoundingClientRect()
  return part.textContent === words && top >= 0 && bottom <= innerHeight
})"""
IMPORT = """async (chat) => {
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(chat) }
  const answer = await (await fetch('api/conversations/import', init)).json()
  return (answer.conversations ?? answer)[0].id
}"""


@asynccontextmanager
async def _opened(browser: Browser, model: Model) -> AsyncGenerator[tuple[Page, str, CDPSession], None]:
    async with headwater(model) as server:
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        yield page, str(server.client.base_url), await context.new_cdp_session(page)
        await context.close()


async def _send(session: CDPSession, command: str, options: dict[str, Any]) -> None:
    await session.send(command, options)  # pyright: ignore[reportUnknownMemberType]


async def written(browser: Browser, kind: str, slower: int) -> list[float]:
    """What a reader sees while an answer of this kind is written.

    Frames per second, the sum of long tasks (s), the longest time without a change of the answer (ms), and the longest
    task (ms).
    """
    model = Paced(kind)
    async with _opened(browser, model) as (page, address, session):
        await page.goto(address)
        await page.get_by_test_id("composer").fill("Go on")
        await _send(session, "Emulation.setCPUThrottlingRate", {"rate": slower})
        await page.evaluate(WATCH)
        await page.get_by_test_id("send").click()
        await page.locator("[data-state=finished]").wait_for(timeout=120_000)
        figures: list[float] = await page.evaluate(FIGURES)
        if model.kept < RATE * KEPT:
            print(f"{kind}: the server wrote only {model.kept:.0f} tokens per second", flush=True)
        return figures


async def long_chat(browser: Browser, slower: int) -> float:
    """Seconds from the navigation to a chat of 1,000 messages until its last answer is in view."""
    async with _opened(browser, Scripted([])) as (page, address, session):
        await page.goto(address)
        await page.get_by_test_id("composer").wait_for()
        id: str = await page.evaluate(IMPORT, _chat(MESSAGES))
        await page.goto("about:blank")
        await _send(session, "Emulation.setCPUThrottlingRate", {"rate": slower})
        await page.goto(f"{address}/?chat={id}", wait_until="commit")
        await page.wait_for_function(IN_VIEW, arg=f"The end of answer {MESSAGES - 1}.", timeout=60_000)
        seconds: float = await page.evaluate("() => performance.now() / 1000")
        return seconds


async def first_load(browser: Browser, coding: str, slow: bool) -> tuple[float, float]:
    """Kilobytes of the page's files as sent in this coding until the composer is there, and the seconds to that."""
    async with _opened(browser, Scripted([])) as (page, address, session):
        await _send(session, "Network.enable", {})
        await _send(session, "Network.setExtraHTTPHeaders", {"headers": {"Accept-Encoding": coding}})
        if slow:
            await _send(session, "Network.emulateNetworkConditions", FAST_3G)
        await page.goto(address, wait_until="commit")
        await page.get_by_test_id("composer").wait_for(timeout=60_000)
        seconds: float = await page.evaluate("() => performance.now() / 1000")
        sent: float = await page.evaluate(SENT)
        return sent / 1000, seconds


def _chat(messages: int) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    for number in range(0, messages, 2):
        parent = None if number == 0 else f"message-{number - 1}"
        at = "2026-11-01T00:00:00.000Z"
        question = {"id": f"message-{number}", "parent": parent, "role": "user", "created_at": at}
        nodes.append({**question, "content": f"Question {number}?", "attachments": [], "kind": "ask"})
        text = f"{answer('mixed')[:1000]}\n\nThe end of answer {number + 1}."
        reply = {"id": f"message-{number + 1}", "parent": f"message-{number}", "role": "assistant", "created_at": at}
        nodes.append({**reply, "state": "finished", "text": text, "ending": {"type": "finish", "reason": "stop"}})
    return {"id": "a-long-chat", "title": "A long chat", "leaf": f"message-{messages - 1}", "messages": nodes}
