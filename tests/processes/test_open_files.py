"""A server under a small limit on open files, with more clients than fit."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from servers import Serving, serve
from serving import chat
from upstream import Upstream

from headwater.web.capacity import streams

FILES = 256
LIMITED = (
    "-c",
    f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, {FILES}));"
    "from headwater.cli.main import app; app()",
)
"""Headwater with a soft limit that it has to raise."""


class Client(NamedTuple):
    """A connection whose question has been answered: with a stream or with a refusal."""

    head: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.head.split()[1])


async def ask(server: Serving, question: str) -> Client:
    """Ask on a connection of its own; fails if the connection is reset."""
    url = server.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    body = json.dumps(chat(question))
    head = f"POST /api/stream/completion/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    async with asyncio.timeout(30):
        return Client((await reader.readuntil(b"\r\n\r\n")).decode().lower(), reader, writer)


async def test_a_stream_that_does_not_fit_is_refused_and_the_running_ones_go_on(tmp_path: Path) -> None:
    """Every client gets 200, or 503 with `Retry-After`; health checks and stops work."""
    async with Upstream(tokens=["a", "b"], gated=True) as upstream:
        settings = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": upstream.url, "HEADWATER_RETRIES": "0"}
        async with serve(tmp_path, program=LIMITED, **settings) as server:
            clients = await asyncio.gather(*(ask(server, f"question {number}") for number in range(2 * FILES)))
            served = [client for client in clients if client.status == 200]
            refused = [client for client in clients if client.status == 503]

            assert len(served) + len(refused) == 2 * FILES, Counter(client.status for client in clients)
            assert streams(FILES) / 2 < len(served) < FILES / 2
            assert len(served) == upstream.calls
            for client in refused:
                assert "retry-after: 1\r\n" in client.head
                problem = json.loads(await client.reader.read())  # to its end: the server closes the connection
                assert (problem["code"], problem["retryable"]) == ("server_full", True)

            assert (await server.client.get("/healthz")).status_code == 200
            location = served[0].head.partition("location: ")[2].partition("\r\n")[0]
            assert (await server.client.post(f"{location}/stop")).json()["state"] == "stopped"

            upstream.release(10 * FILES)
            for client in served[1:]:
                body = await client.reader.readuntil(b"0\r\n\r\n")
                assert b'"text":"b"' in body
                assert b'"finish"' in body
            for client in clients:
                client.writer.close()
            async with asyncio.timeout(10):  # until the server has noticed that the clients left
                while (later := await ask(server, "a question more")).status == 503:
                    later.writer.close()
            later.writer.close()
