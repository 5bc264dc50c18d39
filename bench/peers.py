"""ASGI apps to compare with: each streams from the same provider, as simply as a fair comparison allows.

    uvicorn --factory bench.peers:plain          # what a user would write today with FastAPI and LangChain
    uvicorn --factory bench.peers:passthrough    # passes the provider's bytes on unparsed
    uvicorn --factory bench.peers:bare           # ready-made frames, no provider: the cost of the ASGI server alone
    uvicorn --factory bench.peers:headwater      # Headwater's app, to run it on another ASGI server

The first three store, resume and replay nothing.
"""

import json
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

AT_ONCE = 300
"""Tokens in one write of the bare app: as many as one read of a burst gives, about; a hit is one write."""

FRAME = b'id: 1-1\ndata: {"type":"text-delta","text":" 000000@"}\n\n'
_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


def plain() -> FastAPI:
    """FastAPI and `ChatOpenAI.astream`, with one SSE line per token."""
    from langchain_openai import ChatOpenAI

    app = FastAPI()
    model = ChatOpenAI(model="bench", stream_usage=True, max_retries=0)

    async def events(messages: list[dict[str, Any]]) -> AsyncGenerator[str, None]:
        async for chunk in model.astream(messages):
            if chunk.text:
                yield f"data: {json.dumps({'text': chunk.text})}\n\n"
        yield "data: [DONE]\n\n"

    @app.post("/chat")
    async def chat(body: dict[str, Any]) -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        return StreamingResponse(events(body["messages"]), media_type="text/event-stream")

    return app


def passthrough() -> ASGIApp:
    """A raw ASGI app that sends each read of the provider's socket on as it is."""
    import aiohttp

    address = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    sessions: list[aiohttp.ClientSession] = []

    @asynccontextmanager
    async def asked(body: bytes) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        async with sessions[0].post(address, data=body) as response:
            yield response

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        async with asked(await _body(receive)) as response:
            await send(_START)
            async for data in response.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def bare() -> ASGIApp:
    """A raw ASGI app that sends ready-made frames from memory."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        asked = re.search(rb"tokens=(\d+)", await _body(receive))
        left = int(asked[1]) if asked else 1
        await send(_START)
        while left:
            now = min(left, AT_ONCE)
            left -= now
            await send({"type": "http.response.body", "body": FRAME * now, "more_body": left > 0})

    return app


def headwater() -> FastAPI:
    """Headwater's app, configured by the environment, without its supervisor and its draining."""
    from headwater.settings import Settings
    from headwater.wiring.server import server

    return server(Settings.model_validate({})).app


async def _body(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
