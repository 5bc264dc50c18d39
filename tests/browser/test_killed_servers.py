"""The page finishes an answer by itself when the server that writes it is killed in the middle."""

import os
import signal
import socket
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect
from servers import connected, serve, workers
from serving import until
from upstream import Upstream

from headwater.client import Client
from headwater.events import Continued, TextDelta

pytestmark = pytest.mark.browser

TOKENS = [f"word{i} " for i in range(80)]


def settings(folder: Path, **more: str) -> dict[str, str]:
    """Logs in a file, and an address that a second server can have too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"HEADWATER_STORE": f"sqlite://{folder}/logs.sqlite", "HEADWATER_PORT": str(port), **more}


def provider(upstream: Upstream) -> dict[str, str]:
    """The settings of an OpenAI-compatible provider."""
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url}


async def ask(page: Page, server: str, question: str = "Recite.") -> Locator:
    """Ask on the page; returns its answer."""
    await page.goto(server)
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("send").click()
    return page.get_by_test_id("message-assistant")


async def text_of(answer: Locator) -> str:
    """The words on the page, without the note at the seam."""
    return " ".join([await each.inner_text() for each in await answer.locator(".prose > :not(.seam)").all()])


def stored(folder: Path) -> int:
    """How many entries the log in a folder has."""
    with closing(sqlite3.connect(f"file:{folder}/logs.sqlite?mode=ro", uri=True)) as file:
        return file.execute("SELECT max(last) FROM logs").fetchone()[0] or 0


async def test_a_worker_is_killed(page: Page, tmp_path: Path) -> None:
    """The other one goes on; one quiet note tells of it, and no error."""
    async with Upstream(tokens=TOKENS, gated=True, continues="flags") as upstream:
        async with serve(tmp_path, **settings(tmp_path, HEADWATER_WORKERS="2", **provider(upstream))) as server:
            answer = await ask(page, str(server.client.base_url))
            upstream.release(30)
            await expect(answer).to_contain_text("word29")
            await until(lambda: stored(tmp_path) > 30, "all of that is stored")
            port = int(upstream.url.rpartition(":")[2].removesuffix("/v1"))
            os.kill(next(pid for pid in workers(server) if port in connected(pid)), signal.SIGKILL)
            upstream.release(1000)
            await expect(answer).to_have_attribute("data-state", "finished")
            assert (await text_of(answer)).split() == "".join(TOKENS).split()
            await expect(answer.get_by_role("note")).to_have_count(1)
            await expect(page.get_by_test_id("error")).to_have_count(0)


async def test_the_only_server_is_killed_and_restarted(page: Page, tmp_path: Path) -> None:
    """The page waits for it, and the new server finds the question beside the part of its answer."""
    async with Upstream(tokens=TOKENS, gated=True, continues="flags") as upstream:
        same = settings(tmp_path, **provider(upstream))
        async with serve(tmp_path, **same) as server:
            answer = await ask(page, str(server.client.base_url))
            upstream.release(30)
            await expect(answer).to_contain_text("word29")
            await until(lambda: stored(tmp_path) > 30, "all of that is stored")
            await server.kill()
        await expect(page.get_by_test_id("connection")).to_be_visible()
        async with serve(tmp_path, **same):
            upstream.release(1000)
            await expect(answer).to_have_attribute("data-state", "finished", timeout=20_000)
            assert (await text_of(answer)).split() == "".join(TOKENS).split()
            await expect(answer.get_by_role("note")).to_have_count(1)


@pytest.mark.local_model
@pytest.mark.timeout(120)
async def test_the_embedded_model_dies_with_its_server(page: Page, weights_folder: Path, tmp_path: Path) -> None:
    """It goes on behind its own words after the restart.

    Which words follow is not compared, though its temperature is 0: llama.cpp computes many tokens at once a little
    differently than one after another, so the same question has several answers.
    """
    same = settings(tmp_path, HEADWATER_MODEL="local", HEADWATER_DATA_DIR=str(weights_folder))
    question = "Tell me about rivers, in three paragraphs."
    pieces, place, told, seams = 0, 0, "", list[Continued]()
    async with AsyncExitStack() as servers:
        server = await servers.enter_async_context(serve(tmp_path, **same))
        client = await servers.enter_async_context(Client(str(server.client.base_url)))
        answer = await ask(page, str(server.client.base_url), "Tell me about the sea.")
        running = await client.chat(question, temperature=0, max_tokens=120)
        async for event in running:
            pieces += isinstance(event, TextDelta)
            if isinstance(event, Continued):
                seams.append(event)
                place = len(running.text)
            if pieces == 40 and isinstance(event, TextDelta):
                told = running.text
                await expect(answer).to_have_attribute("data-state", "streaming")
                await server.kill()
                server = await servers.enter_async_context(serve(tmp_path, **same))
        await expect(answer).to_have_attribute("data-state", "finished", timeout=60_000)
        await expect(answer.get_by_role("note")).to_have_count(1)
        assert told.startswith(running.text[:place])
        assert len(running.text) > place > 0
        assert [seam.cause for seam in seams] == ["server"]
