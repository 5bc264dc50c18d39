"""Clients of Server-Sent Events that know nothing of Headwater, and the tutorial's loop over bare text."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from clients.conftest import HERE, PYTHON, node, python
from proxy import Proxy, breakable
from serving import Headwater, chat, headwater, until

from headwater.errors import ModelError
from headwater.events import Event, Finish, Stop, TextDelta
from headwater.models.scripted import SILENCE, Scripted, Step

HALF = [TextDelta(f"word{n} ") for n in range(20)]
STORIES: dict[str, Step] = {
    "finish": Finish("stop"),
    "error": ModelError("the provider failed", code="provider_error"),
    "stop": SILENCE,
}
"""What follows the words, by the ending that comes of it."""
TEXT = "".join(word.text for word in HALF * 2)
CLIENTS: dict[str, Callable[..., Awaitable[Any]]] = {
    "eventsource": node,
    "eventsource-parser": node,
    "fetch-event-source": node,
    "httpx-sse": python,
}


async def drive(client: str, urls: list[str]) -> list[dict[str, Any]]:
    """What a client read at these addresses."""
    run = CLIENTS[client]
    read: Any = await run("eventsource_httpx.py" if run is python else "eventsource.mjs", client, *urls)
    return read


async def test_each_reconnects_with_its_last_id_and_204_ends_it() -> None:
    """A running answer is cut twice for each client; none loses or repeats an event, however the answer ends."""
    gate = asyncio.Event()
    proxies: dict[str, list[Proxy]] = {client: [] for client in CLIENTS}
    async with AsyncExitStack() as stack:
        servers: list[tuple[Headwater, str]] = []
        for ending in STORIES.values():
            model = Scripted([*HALF, gate, *HALF, ending])
            server = await stack.enter_async_context(headwater(model))
            async with server.client.stream("POST", "/api/stream/completion/chat", json=chat()) as asked:
                servers.append((server, asked.headers["location"]))
            for each in proxies.values():
                each.append(await stack.enter_async_context(breakable(server.client)))
                each[-1].cuts = [1000, 900]  # after the headers, and before the gate
        urls = {
            client: [
                f"{proxy.url}{'/api/stream/completion/chat' if client == 'fetch-event-source' else location}"
                for proxy, (_, location) in zip(each, servers, strict=True)
            ]
            for client, each in proxies.items()
        }
        reading = asyncio.gather(*(drive(client, urls[client]) for client in CLIENTS))
        every = [proxy for each in proxies.values() for proxy in each]
        await until(lambda: reading.done() or all(proxy.connections > 2 for proxy in every), "all were cut twice", 30)
        gate.set()
        stopped, location = servers[-1]
        state: Any = {"text": ""}
        while state["text"] != TEXT:
            state = (await stopped.client.get(location, headers={"accept": "application/json"})).json()
        await stopped.client.post(f"{location}/stop")
        read = await reading

        for client, logs in zip(CLIENTS, read, strict=True):
            for ending, log, (server, location) in zip(STORIES, logs, servers, strict=True):
                whole = await server.client.get(location, headers={"accept": "application/json"})
                told = [event["type"] for event in log["events"]]
                assert told == ["start", *["text-delta"] * len(HALF * 2), ending], client
                assert "".join(event.get("text", "") for event in log["events"]) == TEXT, client
                assert (log["ids"][-1], len(set(log["ids"])), log["more"]) == (whole.json()["offset"], len(told), 0), (
                    client
                )
        for server, _ in servers:
            assert server.answers.running == 0


async def test_the_loop_of_the_tutorial_shows_the_words_as_they_come() -> None:
    """In a React component with `fetch`, a reader and `Accept: text/plain`. Equal questions share one model call."""
    model = Scripted([TextDelta("One"), 0.5, TextDelta(" two"), Finish("stop")])
    async with headwater(model) as server:
        live = await asyncio.gather(loop(server), loop(server))
        stored = await loop(server)
    assert any("One" in page["shown"] for page in live)
    for page in (*live, stored):
        assert (page["ended"], page["shown"][-1]) == ("whole", "One two")
    assert stored["cache"].startswith("headwater; hit")
    assert len(model.prompts) == 1


@pytest.mark.parametrize("ending", [ModelError("the provider failed"), Stop("somebody")], ids=["failed", "stopped"])
async def test_the_loop_of_the_tutorial_does_not_take_a_part_for_the_whole(ending: Event | ModelError) -> None:
    """Bare text has no word for it, so the connection breaks, and the reader throws with the part on the page."""
    async with headwater(Scripted([TextDelta("One"), 0.05, ending])) as server:
        told = await loop(server)
    assert (told["ended"], told["shown"][-1]) == ("TypeError: terminated", "One")


async def loop(server: Headwater) -> dict[str, Any]:
    """What the page of the tutorial showed."""
    return await node("react_loop.mjs", str(server.client.base_url).rstrip("/"), "Hi")


DOCS = HERE.parents[1] / "docs" / "clients" / "eventsource.md"
CUTS = [[10_000, 1500], [1500], [1500], [10_000, 1500], []]
"""After how many bytes the connections of each snippet break. The last one's loop knows no resuming."""
SNIPPETS: list[tuple[str, str]] = re.findall(r"```(js|py)\n(.*?)```", DOCS.read_text(), re.DOTALL)
PAGE = "globalThis.window = globalThis; globalThis.document = { addEventListener() {}, removeEventListener() {} };"
"""What fetch-event-source wants of a browser."""


@pytest.mark.parametrize(("snippet", "cuts"), [*zip(SNIPPETS, CUTS, strict=True)], ids=range(len(CUTS)))
async def test_a_snippet_of_the_documents_prints_the_answer(
    snippet: tuple[str, str], cuts: list[int], tmp_path: Path
) -> None:
    """As it is pasted, and through connections that break."""
    language, code = snippet
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    program = tmp_path / ("snippet.mjs" if language == "js" else "snippet.py")
    gate = asyncio.Event()
    async with headwater(Scripted([*HALF, gate, *HALF, Finish("stop")])) as server, breakable(server.client) as proxy:
        proxy.cuts = [*cuts]
        head = PAGE if "fetchEventSource" in code else ""
        program.write_text(head + code.replace("http://127.0.0.1:8000", proxy.url))
        command = "node" if language == "js" else str(PYTHON)
        process = await asyncio.create_subprocess_exec(
            command, str(program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            await until(lambda: proxy.connections > len(cuts), "it comes back", 20)
            gate.set()
            async with asyncio.timeout(30):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert (process.returncode, err) == (0, b"")
    assert out.decode() == TEXT
