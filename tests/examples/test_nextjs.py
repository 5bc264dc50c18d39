"""The Next.js example: built by its README's commands, started by `next start`, and driven in Chromium."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from playwright.async_api import Page, expect
from readme import ROOT, blocks, clean, run
from servers import serve
from serving import chat, frames, parse, text_of, until
from upstream import Upstream

NEXTJS = ROOT / "examples" / "nextjs"
BUILD, SERVE, START = blocks(NEXTJS / "README.md")[:3]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]  # the first test builds the app


class App(NamedTuple):
    """The running app: its address, and the port to which it sends `/api`."""

    url: str
    server: int


@pytest.fixture(scope="session")
def app(path: str) -> Generator[App, None, None]:
    """The app, built and started once. Next.js has the server's address from its build, so the port is chosen here."""
    port, server = _free_port(), _free_port()
    run(BUILD, PATH=path, HEADWATER_URL=f"http://127.0.0.1:{server}")
    command = f"exec {START.strip()} -- --hostname localhost --port {port}"
    process = subprocess.Popen(
        ["sh", "-c", command], cwd=NEXTJS, env=clean(PATH=path), stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _until_listening(process, port)
        yield App(f"http://localhost:{port}", server)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


@asynccontextmanager
async def answering(app: App, folder: Path) -> AsyncGenerator[Upstream, None]:
    """`headwater serve` behind the app, with the README's settings, and a provider that waits before each token."""
    settings: dict[str, str] = dict(re.findall(r"(HEADWATER_\w+)=(\S+)", SERVE))
    settings["HEADWATER_ORIGINS"] = settings["HEADWATER_ORIGINS"].replace("http://localhost:3000", app.url)
    async with Upstream(tokens=["One", " two", " three"], gated=True) as upstream:
        provider = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url}
        async with serve(folder, HEADWATER_PORT=str(app.server), **provider, **settings):
            yield upstream


async def ask(page: Page, url: str, question: str = "Hello?") -> None:
    """Open a page of the app and send a question."""
    await page.goto(url)
    await page.get_by_label("Your question").fill(question)
    await page.get_by_label("Your question").press("Enter")


def test_the_pages_are_as_short_as_the_readme_says() -> None:
    """And the second one uses no package of ours."""
    hook, plain = ((NEXTJS / "app" / name).read_text() for name in ("page.tsx", "plain/page.tsx"))
    assert hook.count("\n") <= 40
    assert plain.count("\n") <= 25
    assert "headwater" not in plain


async def test_an_answer_is_painted_as_it_arrives_and_the_next_visitor_gets_it_stored(
    app: App, page: Page, tmp_path: Path
) -> None:
    """Each token is on the page before the next one is made; the same question makes no second call."""
    async with answering(app, tmp_path) as upstream:
        await ask(page, app.url)
        answer = page.locator("article")
        for seen in ("One", "One two", "One two three"):
            upstream.release()
            await expect(answer).to_have_text(seen)
        await expect(answer).to_have_attribute("data-status", "finished")

        await page.get_by_role("button", name="New chat").click()
        await expect(answer).to_have_count(0)
        await ask(page, app.url)

        await expect(answer).to_contain_text("One two three")
        await expect(answer).to_contain_text("from the cache")
    assert upstream.calls == 1


async def test_a_reload_in_mid_answer_reads_it_on(app: App, page: Page, tmp_path: Path) -> None:
    """No token is missing or doubled, and the model is called once."""
    async with answering(app, tmp_path) as upstream:
        await ask(page, app.url)
        answer = page.locator("article")
        upstream.release()
        await expect(answer).to_have_text("One")

        await page.reload()

        await expect(answer).to_have_text("One")
        upstream.release(2)
        await expect(answer).to_have_text("One two three")
        await expect(answer).to_have_attribute("data-status", "finished")
    assert upstream.calls == 1


async def test_stop_ends_the_model(app: App, page: Page, tmp_path: Path) -> None:
    """The part that was written stays, and the provider's connection is closed."""
    async with answering(app, tmp_path) as upstream:
        await ask(page, app.url)
        answer = page.locator("article")
        upstream.release()
        await expect(answer).to_have_text("One")

        await page.get_by_role("button", name="Stop").click()

        await expect(answer).to_have_attribute("data-status", "stopped")
        await expect(answer).to_have_text("One")
        request = await upstream.received()
        await until(request.closed.is_set, "the provider's connection is closed")


async def test_the_plain_loop_streams_too(app: App, page: Page, tmp_path: Path) -> None:
    """`fetch`, a reader and bare text are enough to show the tokens as they come."""
    async with answering(app, tmp_path) as upstream:
        await ask(page, f"{app.url}/plain")
        for seen in ("One", "One two"):
            upstream.release()
            await expect(page.locator("[data-role=latest]")).to_have_text(seen)
        upstream.release()
        await expect(page.locator("[data-role=assistant]")).to_have_text("One two three")


async def test_the_rewrite_passes_frames_on_at_once_and_lets_a_client_leave_and_resume(
    app: App, tmp_path: Path
) -> None:
    """It neither compresses nor gathers them, although the client takes gzip as every browser does."""
    async with answering(app, tmp_path) as upstream, httpx.AsyncClient(base_url=app.url) as client:
        idle = _connections(app.server)
        upstream.release()
        async with client.stream("POST", "/api/stream/completion/chat", json=chat()) as response:
            read = frames(response)
            seen = [await anext(read), await anext(read)]
            assert _connections(app.server) == idle + 1
        assert [frame["type"] for frame in seen] == ["start", "text-delta"]
        assert "content-encoding" not in response.headers
        assert "gzip" in response.request.headers["accept-encoding"]
        await until(lambda: _connections(app.server) == idle, "the client's leaving reaches the server")

        upstream.release(2)
        rest = await client.get(response.headers["location"], headers={"last-event-id": seen[-1].id or ""})

    assert text_of([*seen, *parse(rest.content)]) == "One two three"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("localhost", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "next start ended"
            assert time.monotonic() < give_up, "next start does not listen"
            time.sleep(0.05)


def _connections(port: int) -> int:
    """The established connections to a server on this machine's loopback, as its kernel lists them."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1] == f"0100007F:{port:04X}" and row[3] == "01" for row in rows)
