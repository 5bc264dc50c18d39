"""How our own way to a provider opens, keeps and lets go of its connections."""

import asyncio
import subprocess
import sys
from contextlib import aclosing

import pytest
from upstream import Upstream
from ways import HELLO, KEY, direct_chat

from headwater.errors import ModelError
from headwater.events import Finish, TextDelta
from headwater.models.openai_connection import Account
from headwater.models.openai_wire import OpenAIWire


async def test_without_a_key_openai_is_not_asked() -> None:
    """It would only say 401."""
    with pytest.raises(ModelError) as failure:
        await OpenAIWire("gpt-4o-mini").prepare()
    assert (failure.value.code, failure.value.status) == ("model_unavailable", 503)


def test_the_same_model_works_in_one_event_loop_after_another() -> None:
    """Connections belong to the loop that made them."""
    used: list[OpenAIWire] = []

    async def once() -> None:
        async with Upstream() as upstream:
            model = used[0] if used else direct_chat(upstream)
            model._connections._account = Account(upstream.url, KEY)  # pyright: ignore[reportPrivateUsage]
            used.append(model)
            async with aclosing(model.stream(HELLO)) as batches:
                assert [event async for batch in batches for event in batch][-1].__class__ is Finish

    async def closing() -> None:
        await once()
        await used[0].aclose()

    asyncio.run(closing())
    asyncio.run(closing())


async def test_answers_share_connections() -> None:
    """The next answer does not have to connect, or shake hands, again."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(length)
            body = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body))
            await writer.drain()
            await asyncio.sleep(0.01)  # the end of the response comes a moment after the end of the answer
            writer.write(b"0\r\n\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    model = OpenAIWire("m", "chat", Account(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", KEY))
    for _ in range(3):
        async with aclosing(model.stream(HELLO)) as batches:
            assert [event async for batch in batches for event in batch] == [TextDelta("x"), Finish("stop")]
        await asyncio.sleep(0.03)
    assert connections == 1
    await model.aclose()
    server.close()


def test_it_imports_no_langchain() -> None:
    """Nor the HTTP client before the first use."""
    code = "import sys, headwater.models.openai_wire as o; o.OpenAIWire('x');"
    code += "sys.exit(any(n.startswith(('langchain', 'openai', 'pydantic', 'aiohttp')) for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
