"""Renderers of growing Markdown side by side: the page's, streamdown and react-markdown, each alone in a tab."""

import functools
import http.server
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.async_api import Browser

from bench.ui_feeds import RATE, TOKEN, answer
from hatch_build import UI, npm

RENDERERS = ("headwater", "streamdown", "react-markdown")
FOLDER = UI / "bench"


def build() -> Path:
    """Install the peers, pinned, and build the tab that shows one of them; its folder."""
    command, environment = npm()
    for folder, arguments in (
        (FOLDER, ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]),
        (UI, ["exec", "--", "vite", "build", "bench", "--logLevel", "error"]),
    ):
        subprocess.run([*command, *arguments], cwd=folder, check=True, env=environment)
    return FOLDER / "dist"


@contextmanager
def served(folder: Path) -> Generator[str, None, None]:
    """Serve a folder on loopback; its address."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


async def measure(browser: Browser, address: str, renderer: str, kind: str, slower: int) -> list[float]:
    """Frames per second, and the sum (s) and longest (ms) of long tasks, with the CPU so many times slower."""
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(f"{address}/?renderer={renderer}")
    await page.wait_for_function("() => 'feed' in globalThis")
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": slower})  # pyright: ignore[reportUnknownMemberType]
    figures: list[float] = await page.evaluate(f"(text) => feed(text, {RATE * TOKEN})", answer(kind))
    await page.close()
    return figures
