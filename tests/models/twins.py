"""Our LangChain model and LangChain's own, with the same requests."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from langchain_openai import ChatOpenAI
from upstream import Upstream
from ways import KEY

from headwater.langchain import ChatOpenAIWire

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def build(kind: type[Any], upstream: Upstream, **options: Any) -> Any:
    """A model of either class with an operator's options."""
    arguments: dict[str, Any] = {"base_url": upstream.url, "api_key": KEY, "max_retries": 0, **options}
    if issubclass(kind, ChatOpenAI):
        arguments |= {"stream_usage": True}
    return kind(model="gpt-test", **arguments)


async def both(upstream: Upstream, ask: Callable[[Any], Any], **options: Any) -> tuple[Any, Any]:
    """The results of our model and of LangChain's, or their exceptions."""
    results: list[Any] = []
    for kind in (ChatOpenAIWire, ChatOpenAI):
        try:
            results.append(await ask(build(kind, upstream, **options)))
        except Exception as failure:  # noqa: BLE001 - both must raise the same, whatever it is
            body: Any = getattr(failure, "body", None)
            results.append((type(failure), str(failure), body, getattr(failure, "status_code", None)))
    return results[0], results[1]


async def whole(model: Any, question: Any = "Hello", **arguments: Any) -> dict[str, Any]:
    """All chunks of a stream as one message, without the parts that differ in every run."""
    message: Any = None
    async for chunk in model.astream(question, **arguments):
        message = chunk if message is None else message + chunk
    return {**message.model_dump(), "id": None, "blocks": message.content_blocks}


@asynccontextmanager
async def fixed(body: bytes, content_type: str = "text/event-stream") -> AsyncGenerator[str, None]:
    """A server with the same answer to every request, sent in one write."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        length = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close"
        writer.write(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()
