"""Logs by their id: read on from an offset, look at the state, stop, delete."""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headwater.answer import Fold
from headwater.dialects.native.state import whole
from headwater.dialects.sse import plain
from headwater.log.store import check_offset
from headwater.web.parts import JSON, SSE, TEXT, Parts, head, place, position, wants, wire_for

STOP_WAIT = 2.0
"""Seconds for which a stop waits until the log has ended, to answer with the state that was really reached."""


def add_log_routes(router: APIRouter, parts: Parts) -> None:
    """Add the routes of a log that has been started."""
    logs = parts.attacher.logs

    async def state(log: str, message_id: str, status: int = 200) -> JSONResponse:
        folding = Fold()
        async for page in logs.read(log, follow=False):
            for entry in page:
                folding.feed(entry)
        answer = msgspec.structs.replace(folding.answer(), id=message_id)
        return JSONResponse(plain(whole(answer)), status, {"Cache-Control": "no-store"})

    async def stop(request: Request, message_id: str, log: str) -> bool:
        """Ask for the end and wait for it, within bounds; False when others still want the answer."""
        principal = await parts.principal(request)
        if not await logs.store.stop(log, principal.subject):
            return False
        try:
            async with asyncio.timeout(STOP_WAIT):
                async for _ in logs.read(log):
                    pass
        except TimeoutError:
            return False
        return True

    @router.head("/api/streams/{message_id}", include_in_schema=False)
    @router.get("/api/streams/{message_id}", response_class=Response, responses=_READ)
    async def read(request: Request, message_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Read on after `Last-Event-ID` or `?after=`; or, with `Accept: application/json`, the state so far."""
        described = await parts.find(request, message_id)
        if wants(request, SSE, JSON, TEXT) == JSON:
            return await state(described.log, message_id)
        after = position(request)
        if described.state != "open":
            check_offset(after, described.state, described.last.epoch, described.last)
            if after == described.last:
                return Response(status_code=204)
        headers, wire = {"Location": place(request)}, wire_for(request, message_id)
        return head(wire, headers) if request.method == "HEAD" else parts.read(described.log, after, wire, headers)

    @router.post("/api/streams/{message_id}/stop", responses=_STOP)
    async def end(request: Request, message_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """End the answer, if no other subject wants it; the part that was written is kept."""
        described = await parts.find(request, message_id)
        ended = described.state != "open" or await stop(request, message_id, described.log)
        return await state(described.log, message_id, 200 if ended else 202)

    @router.delete("/api/streams/{message_id}", status_code=204, response_class=Response)
    async def forget(request: Request, message_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Forget the log and the name bound to it; a running one is stopped first, if no other subject wants it."""
        described = await parts.find(request, message_id)
        if described.state == "open":
            await stop(request, message_id, described.log)
        await logs.forget(described.log)
        return Response(status_code=204)


_PROBLEM: dict[str, Any] = {"content": {"application/problem+json": {}}}
_READ: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What follows the offset",
        "content": {"text/event-stream": {}, "text/plain": {}, "application/json": {}},
    },
    204: {"description": "Nothing follows the offset: the reader has seen the ending"},
    400: {"description": "Not an offset", **_PROBLEM},
    404: {"description": "No such log", **_PROBLEM},
    410: {"description": "The log has expired, or the offset is beyond its end or of a later epoch", **_PROBLEM},
    "5XX": {"description": "The log broke off, or the store failed", **_PROBLEM},
}
_STOP: dict[int | str, dict[str, Any]] = {
    200: {"description": "The log has ended; this is its state"},
    202: {"description": "Only the caller was detached, or the end has not been reached yet"},
    404: {"description": "No such log", **_PROBLEM},
    410: {"description": "The log has expired", **_PROBLEM},
    503: {"description": "The store failed", **_PROBLEM},
}
