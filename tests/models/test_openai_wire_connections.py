"""How our own way to a provider opens, keeps and lets go of its connections."""

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import aclosing
from typing import Any

import pytest
from test_langchain import ASKED, HELLO, KEY
from test_openai_wire import chat, completion, told
from upstream import Upstream

from headwater.errors import ModelError
from headwater.events import Finish, TextDelta
from headwater.models.openai_connection import Account
from headwater.models.openai_wire import OpenAIWire

BOTH = pytest.mark.parametrize("build", [chat, completion])


@BOTH
async def test_each_token_is_there_before_the_next_one_is_sent(build: Any) -> None:
    """Nothing is held back to fill a batch."""
    async with Upstream(tokens=["a", "b", "c"], gated=True) as upstream:
        model = build(upstream)
        async with aclosing(model.stream(HELLO)) as batches:
            for token in "abc":
                upstream.release()
                assert await anext(batches) == [TextDelta(token)]
        await model.aclose()


@BOTH
async def test_cancelling_closes_the_providers_connection_while_it_is_silent(build: Any) -> None:
    """Nobody pays for tokens that nobody reads."""
    async with Upstream(silent_after=1) as upstream:
        model = build(upstream)
        begun = asyncio.Event()

        async def read() -> None:
            async with aclosing(model.stream(HELLO)) as batches:
                async for _ in batches:
                    begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        cancelled_at = time.monotonic()
        reading.cancel()
        await asyncio.wait({reading})
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 5)
        assert upstream.requests[0].closed_at is not None
        assert upstream.requests[0].closed_at - cancelled_at < 1
        assert reading.cancelled()
        await model.aclose()


@BOTH
async def test_closing_the_stream_closes_the_providers_connection(build: Any) -> None:
    """Also one that is still referenced."""
    async with Upstream(silent_after=1) as upstream:
        model = build(upstream)
        stream = model.stream(HELLO)
        assert await anext(stream) == [TextDelta("Hel")]
        await stream.aclose()
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 1)
        await model.aclose()


async def test_a_request_without_an_answer_is_cancelled_too() -> None:
    """The provider has the request and thinks."""
    async with Upstream(gated=True, reasoning=[]) as upstream:
        model = completion(upstream)
        asking = asyncio.ensure_future(anext(model.stream(ASKED)))
        await upstream.received()
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
        await asyncio.wait_for(upstream.requests[0].closed.wait(), 1)
        await model.aclose()


@BOTH
@pytest.mark.parametrize("cut", ["rst", "eof"])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_connection_that_breaks_is_a_cut(build: Any, cut: Any, after: int) -> None:
    """Also before the first token: the provider had been reached."""
    async with Upstream(cut_after=after, cut=cut) as upstream:
        _, failure = await told(build(upstream))
    assert failure == ("provider_cut", 502, True, None)


async def test_what_came_before_a_cut_has_been_given_out() -> None:
    """All of it, however fast the cut follows."""
    async with Upstream(tokens=["a", "b", "c"], cut_after=2, cut="eof") as upstream:
        events, failure = await told(chat(upstream))
    assert events == [TextDelta("a"), TextDelta("b")]
    assert failure is not None


@BOTH
async def test_a_provider_that_is_not_there_is_unreachable(build: Any) -> None:
    """And worth another try."""
    upstream = Upstream()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening
        upstream.url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        _, failure = await told(build(upstream))
    assert failure == ("provider_unreachable", 502, True, None)


async def test_the_servers_own_key_never_shows() -> None:
    """Whatever the provider echoes."""
    error = {"message": f"Incorrect API key provided: {KEY}. Find it at https://me:pass@example.org/?key=abc"}
    async with Upstream(status=401, error=error) as upstream:
        model = chat(upstream)
        with pytest.raises(ModelError) as failure:
            await anext(model.stream(HELLO))
        await model.aclose()
    said = str(failure.value)
    assert not any(secret in said for secret in (KEY, "pass", "abc"))


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
            model = used[0] if used else chat(upstream)
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
