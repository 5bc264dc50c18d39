"""Logs by their id: read on from an offset, look at the state, stop, delete."""

from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.dialects.native import request as native
from headwater.log.store import Description
from headwater.principal import Principal
from headwater.web.accept import wants
from headwater.web.place import LOGS
from headwater.web.routes.native import JSON, SSE, TEXT, Dialects
from headwater.web.surface import Surface

LOG = f"{LOGS}/{{message_id}}"


def add_log_routes(router: APIRouter, surface: Surface) -> None:
    """Add the routes of a log that has been started."""
    answers = surface.answers
    dialects = Dialects(native.chat)

    async def state(found: Description, principal: Principal, message_id: str, status: int = 200) -> Response:
        answer = msgspec.structs.replace(await answers.answer(found, principal), id=message_id)
        return Response(dialects.json.whole(answer), status, {"Cache-Control": "no-store"}, JSON)

    @router.head(LOG, include_in_schema=False)
    @router.get(LOG, response_class=Response, responses=_READ)
    async def read(request: Request, message_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Read on after `Last-Event-ID` or `?after=`; or, with `Accept: application/json`, the state so far."""
        if wants(request, SSE, JSON, TEXT) != JSON:
            return await surface.resume(request, dialects.of(request), LOG, message_id)
        principal = await surface.principal(request)
        return await state(await answers.find(message_id, principal), principal, message_id)

    @router.post(f"{LOG}/stop", responses=_STOP)
    async def end(request: Request, message_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """End the answer, if no other subject wants it; the part that was written is kept."""
        principal = await surface.principal(request)
        found = await answers.find(message_id, principal)
        ended = found.state != "open" or await answers.stop(found, principal)
        return await state(found, principal, message_id, 200 if ended else 202)

    @router.delete(LOG, status_code=204, response_class=Response)
    async def forget(request: Request, message_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Forget the log and the name bound to it; a running one is stopped first, if no other subject wants it."""
        principal = await surface.principal(request)
        found = await answers.find(message_id, principal)
        if found.state == "open":
            await answers.stop(found, principal)
        await answers.forget(found, principal)
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
