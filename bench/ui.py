"""`python -m bench.ui`: measure the chat page in Chromium, beside other renderers of growing Markdown.

Everything is measured in rounds, one side after another, so that all sides share the machine's moods. Each figure is
the median of the rounds. Figures that have a target carry a mark that says whether it is met.
"""

import argparse
import asyncio
import os
import statistics
from collections import defaultdict
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from bench import ui_page, ui_renderers
from bench.machine import machine
from bench.report import about, into
from bench.ui_feeds import KINDS
from bench.ui_page import chromium

FRAMES, LONG = 50, 0.5
"""Targets with a CPU that is four times slower: frames per second at least, seconds of long tasks at most."""
LOAD, SENT, OPENED = 1.5, 165, {1: 1.0, 4: 2.0}
"""Targets: seconds of a first load on Fast 3G, its kilobytes as sent, and seconds to open a chat of 1,000 messages."""

Figures = dict[tuple[str, ...], list[list[float]]]


async def rounds(browser: Browser, count: int, kinds: list[str], rates: list[int]) -> Figures:
    """All figures of all rounds, by what was measured."""
    figures: Figures = defaultdict(list)
    with ui_renderers.served(ui_renderers.build()) as address:
        for number in range(count):
            for kind in kinds:
                for rate in rates:
                    for side in ui_renderers.RENDERERS:
                        found = await ui_renderers.measure(browser, address, side, kind, rate)
                        figures["renderer", kind, str(rate), side].append(found)
                    figures["page", kind, str(rate)].append(await ui_page.written(browser, kind, rate))
            for rate in OPENED:
                figures["open", str(rate)].append([await ui_page.long_chat(browser, rate)])
            for coding, slow in (("gzip", True), ("br", True), ("gzip", False)):
                figures["load", coding, str(slow)].append([*await ui_page.first_load(browser, coding, slow)])
            print(f"round {number + 1} of {count} is done", flush=True)
    return figures


def report(figures: Figures, kinds: list[str], rates: list[int]) -> str:
    """The figures as Markdown tables."""

    def middle(*name: str) -> list[float]:
        return [statistics.median(column) for column in zip(*figures[name], strict=True)]

    def cell(found: list[float], judged: bool, whole: bool = False) -> str:
        text = f"{found[0]:.0f} fps, {found[1]:.2f} s"
        # The page renders more rarely where a render takes long, which must not pass for smooth.
        pause = f", {found[2]:.0f} ms" if whole else ""
        return text + pause + _mark(found[0] >= FRAMES and found[1] <= LONG) if judged else text + pause

    lines = ["| content | CPU | the page | its renderer alone | streamdown 2.7.1 | react-markdown 10.1.0 |"]
    lines.append("|---|---|---|---|---|---|")
    for kind in kinds:
        for rate in rates:
            page, ours, *peers = (
                cell(middle("page", kind, str(rate)), rate > 1, whole=True),
                *(cell(middle("renderer", kind, str(rate), side), False) for side in ui_renderers.RENDERERS),
            )
            lines.append(f"| {kind} | ÷{rate} | {' | '.join([page, ours, *peers])} |")
    lines += ["", "| what | figure | target |", "|---|---|---|"]
    for rate, target in OPENED.items():
        seconds = middle("open", str(rate))[0]
        what = f"a chat of 1,000 messages is opened, CPU ÷{rate}"
        lines.append(f"| {what} | {seconds:.2f} s{_mark(seconds <= target)} | ≤ {target:g} s |")
    for coding in ("gzip", "br"):
        sent, seconds = middle("load", coding, "True")
        lines.append(f"| first load as sent, {coding} | {sent:.0f} kB{_mark(sent <= SENT)} | ≤ {SENT} kB |")
        lines.append(f"| composer there on Fast 3G, {coding} | {seconds:.2f} s{_mark(seconds <= LOAD)} | ≤ {LOAD} s |")
    lines.append(f"| composer there on loopback | {middle('load', 'gzip', 'False')[1]:.2f} s | |")
    return "\n".join(lines)


def _mark(met: bool) -> str:
    return " ✓" if met else " ✗"


async def run(count: int, kinds: list[str], rates: list[int], document: Path | None) -> None:
    """Measure, print the tables, and put them into a document."""
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        load = f"{os.getloadavg()[0]:.1f}"
        figures = await rounds(browser, count, kinds, rates)
        measured = {**machine(), "chromium": browser.version, "load before": load, "rounds": count}
        await browser.close()
    tables = f"{report(figures, kinds, rates)}\n\n{about(measured)}"
    print(tables)
    if document is not None:
        into(document, {"page": tables})


def main() -> None:
    """Measure everything five times with a CPU that is four times slower, or once with `--quick`."""
    parser = argparse.ArgumentParser(prog="python -m bench.ui", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--fast", action="store_true", help="measure at the CPU's full speed, too")
    parser.add_argument("--only", choices=list(KINDS), help="measure one kind of content")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--doc", type=Path, help="document to update")
    options = parser.parse_args()
    kinds = [options.only] if options.only else list(KINDS)
    count, rates = 1 if options.quick else options.rounds, [1, 4] if options.fast else [4]
    asyncio.run(run(count, kinds, rates, options.doc))


if __name__ == "__main__":
    main()
