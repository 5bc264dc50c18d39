"""What stands beside Headwater in the table: two apps over the same provider, each as small as it can honestly be.

    uvicorn --factory bench.peers:plain          # what a user would write today with FastAPI and LangChain
    uvicorn --factory bench.peers:passthrough    # provider's bytes → client's bytes, with nothing in between

Neither keeps, resumes or replays anything; the second does not even look at what it passes on.
"""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send


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
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with asked(body) as response:
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for data in response.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app
