"""`python -m bench.ui [--quick]`: measure the chat page in Chromium while answers of several kinds are written."""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from headwater.events import Finish, TextDelta
from headwater.models.scripted import Scripted, Step

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from serving import headwater

LENGTH = 20_000
TOKEN = 4
PACE = 0.002
"""Seconds between two tokens: 500 a second."""
WATCH = """() => {
  const seen = (window.seen = { frames: 0, long: 0, longest: 0, began: performance.now() })
  const frame = () => { seen.frames++; requestAnimationFrame(frame) }
  requestAnimationFrame(frame)
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      seen.long += duration
      seen.longest = Math.max(seen.longest, duration)
    }
  }).observe({ type: 'longtask' })
}"""
FIGURES = "() => [seen.frames / (performance.now() - seen.began) * 1000, seen.long / 1000, seen.longest]"
MIXED = (
    "## Part {n}\n\nSome **words** and `code` with [a link](https://example.org).\n\n- one\n- two\n\n"
    "```ts\nconst a = {n}\n```\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n"
)
KINDS: dict[str, tuple[str, Callable[[int], str]]] = {
    "mixed": ("", lambda n: MIXED.replace("{n}", str(n))),
    "code": ("```ts\n", lambda n: f"export const value{n}: number = {n} // a line of code\n"),
    "list": ("", lambda n: f"- Item {n} with **some** words in it and `code`\n"),
    "table": ("| a | b | c |\n|---|---|---|\n", lambda n: f"| row {n} | some **words** here | more |\n"),
    "paragraph": ("", lambda n: f"Sentence {n} says *little*, but says it with several words. "),
    "log in a fence": ("```\n", lambda n: f"[INFO]: started worker {n} of many on this host\n"),
}


def answer(kind: str) -> str:
    """An answer of one kind of content, `LENGTH` characters long."""
    text, part = KINDS[kind]
    number = 0
    while len(text) < LENGTH:
        number += 1
        text += part(number)
    return text[:LENGTH]


async def measure(browser: Browser, kind: str, slower: int) -> list[float]:
    """Frames per second, and the sum (s) and longest (ms) of long tasks, with the CPU so many times slower."""
    text = answer(kind)
    steps: list[Step] = []
    for at in range(0, len(text), TOKEN):
        steps += [TextDelta(text[at : at + TOKEN]), PACE]
    async with headwater(Scripted([*steps, Finish("stop")])) as server:
        page = await browser.new_page()
        await page.goto(str(server.client.base_url))
        await page.get_by_test_id("composer").fill("Go on")
        session = await page.context.new_cdp_session(page)
        await session.send("Emulation.setCPUThrottlingRate", {"rate": slower})  # pyright: ignore[reportUnknownMemberType]
        await page.evaluate(WATCH)
        await page.get_by_test_id("send").click()
        await page.locator("[data-state=finished]").wait_for(timeout=120_000)
        figures: list[float] = await page.evaluate(FIGURES)
        await page.close()
        return figures


async def run(rounds: int, kinds: list[str], rates: list[int]) -> None:
    """Print a table with the median of the rounds for each kind and speed of the CPU."""
    print("| content | CPU | frames/s | long tasks, s | longest, ms |\n|---|---|---|---|---|")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for kind in kinds:
            for slower in rates:
                found = [await measure(browser, kind, slower) for _ in range(rounds)]
                frames, long, longest = (statistics.median(column) for column in zip(*found, strict=True))
                print(f"| {kind} | ÷{slower} | {frames:.0f} | {long:.2f} | {longest:.0f} |", flush=True)
        await browser.close()


def main() -> None:
    """Measure everything, or one round on a slow CPU with `--quick`."""
    parser = argparse.ArgumentParser(prog="python -m bench.ui", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, with a CPU that is four times slower")
    parser.add_argument("--only", choices=list(KINDS), help="measure one kind of content")
    options = parser.parse_args()
    kinds = [options.only] if options.only else list(KINDS)
    asyncio.run(run(1 if options.quick else 5, kinds, [4] if options.quick else [1, 4]))


if __name__ == "__main__":
    main()
