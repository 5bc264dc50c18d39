"""Open WebUI, pointed at `/v1`: by its own API, and by its page in a browser, over both of OpenAI's APIs.

It is opt-in, for its packages are 2 GB: `OPEN_WEBUI=FOLDER`, a virtual environment with `open-webui` in it. Without
`torch`, `accelerate` and `sentence-transformers`, which only its documents need, it starts as well.
"""

import asyncio
import os
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from chromium import FLAGS, chromium
from clients.conftest import offering
from playwright.async_api import Page, async_playwright
from serving import until
from upstream import Received, Upstream

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif("OPEN_WEBUI" not in os.environ, reason="OPEN_WEBUI=FOLDER, with open-webui in it"),
]

TEXT = "It is 4 °C."
MOODS = {
    "### Task": {"tokens": ['{"title": "Weather", "tags": ["cold"], "follow_ups": []}']},
    "hang": {"silent_after": 1},
    "error": {"error_after": 2},
    "cut": {"cut_after": 2},
}
"""What the provider does when the question has this word. The application asks for titles by itself, in tasks."""


class WebUI:
    """The running application: a client of its API that has signed in, and the provider behind Headwater."""

    def __init__(self, client: httpx.AsyncClient, provider: Upstream) -> None:
        self.client = client
        self.provider = provider

    def asked(self, question: str) -> list[Received]:
        """The requests of the provider whose last message is this question."""
        return [each for each in self.provider.requests if each.body["messages"][-1]["content"] == question]

    async def connect(self, api: str, **headers: str) -> None:
        """Ask Headwater by one of OpenAI's APIs, as the connection's settings in the page would."""
        config = (await self.client.get("/openai/config")).json()
        connection = {"enable": True, "api_type": api, "headers": headers}
        await self.client.post("/openai/config/update", json={**config, "OPENAI_API_CONFIGS": {"0": connection}})
        models = await self.client.get("/api/models", params={"refresh": "true"})
        assert [each["id"] for each in models.json()["data"]] == ["openai:gpt-4o-mini"]

    def question(self, text: str) -> dict[str, Any]:
        """The body of a chat that is to be streamed."""
        return {"model": "openai:gpt-4o-mini", "messages": [{"role": "user", "content": text}], "stream": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def webui(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[WebUI, None]:
    """One application for all tests of this file; it starts in some twenty seconds."""
    folder, tokens = tmp_path_factory.mktemp("webui"), ["It ", "is ", "4 ", "°C."]
    async with Upstream(tokens=tokens, moods=MOODS) as provider, offering(folder, provider) as server:
        async with running(folder, str(server.client.base_url).rstrip("/") + "/v1") as client:
            signed = await client.post("/api/v1/auths/signin", json={"email": "", "password": ""})
            client.headers["Authorization"] = f"Bearer {signed.json()['token']}"
            yield WebUI(client, provider)


@asynccontextmanager
async def running(folder: Path, url: str) -> AsyncGenerator[httpx.AsyncClient, None]:
    """The application on a free port, without accounts and without a network."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DATA_DIR": str(folder / "data"),
        "OFFLINE_MODE": "true",
        "HF_HUB_OFFLINE": "1",
        "RAG_EMBEDDING_ENGINE": "openai",
        "WEBUI_AUTH": "False",
        "WEBUI_SECRET_KEY": "test",
        "ENABLE_OLLAMA_API": "False",
        "OPENAI_API_BASE_URL": url,
        "OPENAI_API_KEY": "none",
    }
    program = str(Path(os.environ["OPEN_WEBUI"]) / "bin" / "open-webui")
    command = (program, "serve", "--host", "127.0.0.1", "--port", str(port))
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            async with asyncio.timeout(120):
                while not await healthy(client):
                    assert process.returncode is None, "the application ended before it listened"
                    await asyncio.sleep(0.2)
            yield client
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def healthy(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
async def test_its_api_streams_and_who_leaves_ends_the_run(webui: WebUI, api: str) -> None:
    """Within seconds, since nobody else reads the answer."""
    await webui.connect(api)
    whole = await webui.client.post("/api/chat/completions", json=webui.question("Hi"))
    async with webui.client.stream("POST", "/api/chat/completions", json=webui.question(f"hang {api}")) as left:
        async for line in left.aiter_lines():
            if "It " in line:
                break

    assert "C." in whole.text
    assert len(webui.asked("Hi")) == 1, "both APIs ask the same question, which has one answer"
    async with asyncio.timeout(10):
        await webui.asked(f"hang {api}")[0].closed.wait()


@asynccontextmanager
async def paged(webui: WebUI) -> AsyncGenerator[Page, None]:
    """The application's page, in a new chat."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = await browser.new_page(viewport={"width": 1100, "height": 1400})
        page.set_default_timeout(20_000)
        news = page.get_by_role("button", name="Okay, Let's Go!")
        await page.add_locator_handler(news, lambda: news.click())
        await page.goto(str(webui.client.base_url))
        yield page
        await browser.close()


async def ask(page: Page, question: str) -> None:
    """Type a question and send it."""
    await page.locator("#chat-input").click()
    await page.keyboard.type(question)
    await page.keyboard.press("Enter")
    await page.get_by_text(question, exact=True).wait_for()


async def shown(page: Page, *texts: str) -> None:
    """Wait until the chat shows these texts in this order."""
    wanted = "(texts) => new RegExp(texts.join('[^]*')).test(document.querySelector('#messages-container')?.innerText)"
    await page.wait_for_function(wanted, arg=list(texts))


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
async def test_the_page_chats_stops_and_shows_an_error_with_the_part_kept(webui: WebUI, api: str) -> None:
    """Also after a reload. *Stop* ends the provider's run, and a question that failed is asked again."""
    await webui.connect(api)
    async with paged(webui) as page:
        await ask(page, f"Hello {api}")
        await shown(page, "Hello", TEXT)

        await ask(page, f"hang page {api}")
        await shown(page, "hang page", "It")
        await page.get_by_role("button", name="Stop", exact=True).click()
        async with asyncio.timeout(10):
            await webui.asked(f"hang page {api}")[0].closed.wait()

        for word, why in (("error", "The provider failed"), ("cut", "connection broke off")):
            await ask(page, f"{word} page {api}")
            await shown(page, f"{word} page", "It is", why)
        await page.reload()
        await shown(page, "Hello", TEXT, "hang page", "It", "error page", "It is", "failed", "cut page", "broke off")

        await page.get_by_role("button", name="Regenerate").last.click()
        await page.get_by_text("Try Again").last.click()
        await until(lambda: len(webui.asked(f"cut page {api}")) == 2, "the provider was asked again")


async def test_a_repeated_question_is_a_hit_unless_the_connection_has_a_header(webui: WebUI) -> None:
    """So *Regenerate* shows the same words again, as the docs say, and how to get others."""
    await webui.connect("chat_completions")
    for _ in range(2):
        await webui.client.post("/api/chat/completions", json=webui.question("Again?"))
    assert len(webui.asked("Again?")) == 1

    await webui.connect("chat_completions", **{"Cache-Control": "no-cache"})
    await webui.client.post("/api/chat/completions", json=webui.question("Again?"))
    assert len(webui.asked("Again?")) == 2
