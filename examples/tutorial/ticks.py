"""Server-Sent Events by hand: five messages, one every fifth of a second."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def ticks() -> AsyncGenerator[str, None]:
    """The body of the response, piece by piece."""
    for number in range(1, 6):
        yield f"data: tick {number}\n\n"
        await asyncio.sleep(0.2)


@app.get("/ticks")
async def stream() -> StreamingResponse:
    """The response: its headers at once, its body as it is made."""
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return StreamingResponse(ticks(), media_type="text/event-stream", headers=headers)
