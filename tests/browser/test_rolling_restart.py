"""A server is replaced while clients read: they go on by themselves, and nothing is missing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.async_api import Page, expect
from proxy import Proxy, breakable
from servers import Serving, serve
from serving import chat
from upstream import Upstream

from headwater.client import Client
from headwater.events import TextDelta


class Fleet(NamedTuple):
    """Two servers on one store behind one address."""

    balancer: Proxy
    writer: Serving
    """Where new connections go at first."""
    leaving: Serving


@asynccontextmanager
async def fleet(folder: Path, upstream: Upstream) -> AsyncGenerator[Fleet, None]:
    settings = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": upstream.url,
        "HEADWATER_STORE": f"sqlite://{folder}/logs.sqlite",
    }
    async with (
        serve(folder, **settings) as writer,
        serve(folder, **settings) as leaving,
        breakable(writer.client) as balancer,
    ):
        yield Fleet(balancer, writer, leaving)


async def leave(servers: Fleet) -> None:
    """End one server as a rolling restart does: out of rotation first, then SIGTERM."""
    servers.balancer.turn_to(servers.writer.client)
    servers.leaving.process.terminate()
    async with asyncio.timeout(15):
        await servers.leaving.process.wait()


@pytest.mark.browser
async def test_the_page_goes_on_by_itself_when_its_server_leaves(page: Page, tmp_path: Path) -> None:
    """Another server writes the answer; the page resumes it at the exact token, and shows no error."""
    async with Upstream(tokens=["One", " two"], gated=True) as upstream, fleet(tmp_path, upstream) as servers:
        await page.goto(servers.balancer.url)
        await page.get_by_test_id("composer").fill("Hello?")
        await page.get_by_test_id("send").click()
        await upstream.received()
        servers.balancer.turn_to(servers.leaving.client)
        upstream.release()
        answer = page.get_by_test_id("message-assistant")
        await expect(answer).to_contain_text("One")
        servers.balancer.cut()
        await page.reload()
        await expect(answer).to_contain_text("One")

        await leave(servers)
        upstream.release()

        await expect(answer).to_have_attribute("data-state", "finished")
        assert (await answer.inner_text()).count("One two") == 1
    assert upstream.calls == 1


async def test_a_program_goes_on_by_itself_when_its_server_leaves(tmp_path: Path) -> None:
    """Its loop over the events sees each of them once, and no error."""
    async with Upstream(tokens=["One", " two"], gated=True) as upstream, fleet(tmp_path, upstream) as servers:
        async with Client(servers.balancer.url) as client:
            started = await client.chat(chat()["messages"])
            servers.balancer.turn_to(servers.leaving.client)
            upstream.release()
            words: list[str] = []
            answer = await client.attach(started.location)
            async for event in answer:
                if isinstance(event, TextDelta):
                    words.append(event.text)
                if words == ["One"]:
                    await leave(servers)
                    upstream.release()
        assert words == ["One", " two"]
    assert upstream.calls == 1
