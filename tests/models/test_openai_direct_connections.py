"""How the direct model opens, keeps and releases its connections."""

import asyncio
import subprocess
import sys
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from serving import until
from upstream import Upstream
from ways import HELLO, KEY, answer, direct_chat, texts

from headwater.errors import ModelError
from headwater.events import Finish, TextDelta
from headwater.models.openai.connection import Account
from headwater.models.openai.model import OpenAIModel


async def test_without_a_key_openai_is_not_called() -> None:
    """It would only answer 401."""
    with pytest.raises(ModelError) as failure:
        await OpenAIModel("gpt-4o-mini").prepare()
    assert (failure.value.code, failure.value.status) == ("model_unavailable", 503)


def test_the_same_model_works_in_one_event_loop_after_another() -> None:
    """Connections belong to the loop that made them."""
    used: list[OpenAIModel] = []

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


def draining() -> bool:
    return any(task.get_name() == "drain a provider's response" for task in asyncio.all_tasks())


async def test_answers_share_connections() -> None:
    """The next answer needs no new connection and no new handshake."""
    connections, drained, closed = 0, asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError):  # the model closes the connection
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.lower().split(b"\r\n")
                await reader.readexactly(next(int(line[15:]) for line in lines if line.startswith(b"content-length")))
                body = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body))
                await writer.drain()
                await drained.wait()  # the end of the response comes after the end of the answer
                drained.clear()
                writer.write(b"0\r\n\r\n")
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    model = OpenAIModel("m", "chat", Account(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", KEY))
    for _ in range(3):
        async with aclosing(model.stream(HELLO)) as batches:
            assert [event async for batch in batches for event in batch] == [TextDelta("x"), Finish("stop")]
        drained.set()
        await until(lambda: not draining(), "the response has been read to its end")
    assert connections == 1
    await model.aclose()
    async with asyncio.timeout(5):
        await closed.wait()
    server.close()


@pytest.mark.parametrize(("times", "answered"), [(1, True), (2, False)])
async def test_a_kept_connection_that_closes_before_the_request_is_replaced_at_once(
    times: int, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp's server promises to keep a connection, and closes it behind each stream. Nothing was sent on it."""
    send, failures = aiohttp.ClientSession.request, [OSError] * times

    async def request(*given: Any, **options: Any) -> Any:
        if failures:
            failures.pop()
            closing = aiohttp.ClientConnectionResetError("Cannot write to closing transport")
            raise aiohttp.ClientOSError(None, "Can not write request body") from closing
        return await send(*given, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "request", request)
    async with Upstream(tokens=["Hi"]) as upstream:
        if answered:
            assert texts(await answer(direct_chat(upstream))) == ["Hi"]
        else:
            with pytest.raises(ModelError, match="broke off"):
                await answer(direct_chat(upstream))


async def test_the_environments_proxy_is_gone_through_where_it_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like OpenAI's own client."""
    async with Upstream() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(ModelError, match="no route"):
            await answer(OpenAIModel("m", "chat", Account("http://provider.invalid/v1", KEY)))
        assert proxy.requests[0].path == "http://provider.invalid/v1/chat/completions"
        assert (await answer(direct_chat(proxy)))[-1].__class__ is Finish


async def test_passwords_kept_for_other_programs_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A password from .netrc would take the place of the key."""
    (tmp_path / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with Upstream() as upstream:
        await answer(direct_chat(upstream))
        assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_direct_model_imports_no_langchain() -> None:
    """The HTTP client neither, before the first use."""
    code = "import sys, headwater.models.openai.model as o; o.OpenAIModel('x');"
    code += "sys.exit(any(n.startswith(('langchain', 'openai', 'pydantic', 'aiohttp')) for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_is_ready_without_langchain() -> None:
    """The import takes a second; the fallback does it at its first use."""
    code = """
import asyncio, sys
from headwater.settings import Settings
from headwater.wiring.server import server
async def main():
    app = server(Settings(model="openai:x", openai_api_key="k", store="memory:")).app
    async with app.router.lifespan_context(app):
        while any(task.get_name() == "warm" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)
asyncio.run(main())
slow = {"langchain", "langchain_core", "langchain_openai", "openai"}
print(sorted({name.split(".")[0] for name in sys.modules} & slow))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "[]\n", ran.stdout + ran.stderr
