"""What stands beside Headwater in the table: apps over the same provider, each as small as it can honestly be.

    uvicorn --factory bench.peers:plain          # what a user would write today with FastAPI and LangChain
    uvicorn --factory bench.peers:passthrough    # provider's bytes → client's bytes, with nothing in between
    uvicorn --factory bench.peers:bare           # ready-made frames and no provider: what the ASGI server itself costs
    uvicorn --factory bench.peers:headwater      # Headwater's own app, to run it on another ASGI server

The first three keep, resume and replay nothing; the second does not even look at what it passes on.
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
"""Tokens in one write of the bare app, about as many as one read of a provider's burst gives; a hit is one write."""

FRAME = b'id: 1-1\ndata: {"type":"text-delta","text":" 000000@"}\n\n'
_START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


def plain() -> FastAPI:
    """FastAPI, `ChatOpenAI.astream`, one SSE line per token."""
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
    """A raw ASGI app that hands on whatever one read of the provider's socket gives."""
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
    """A raw ASGI app that answers from memory, in as many writes as a burst would take."""

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
    """Headwater under the environment's settings, without its own supervisor and its own shutdown."""
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
