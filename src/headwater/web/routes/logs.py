"""Logs by their id: read on from an offset, look at the state, stop, delete."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.access.visitor import is_keyless
from headwater.dialects.native import openapi
from headwater.log.store import Description
from headwater.principal import Principal
from headwater.web.accept import wants
from headwater.web.audit import note
from headwater.web.place import LOGS
from headwater.web.routes.native import JSON, PACE, SSE, TEXT, Dialects, parameter
from headwater.web.surface import Surface

LOG = f"{LOGS}/{{message_id}}"
READ = "read-log"
"""The name of the route that reads a log, for `url_for`."""

_FAILURE, _STATE = openapi.failure(), openapi.state()
_GONE: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such log", "content": _FAILURE},
    410: {"description": "The log has expired", "content": _FAILURE},
    503: {"description": "The store failed", "content": _FAILURE},
}
_READ: dict[int | str, dict[str, Any]] = {
    200: {"description": "What follows the offset, or the state so far", "content": openapi.answer()},
    204: {"description": "Nothing follows the offset: the reader has seen the ending"},
    400: {"description": "Not an offset", "content": _FAILURE},
    **_GONE,
    410: {"description": "The log has expired, or the offset is not of this log", "content": _FAILURE},
    "5XX": {"description": "The log broke off before its first token, or the store failed", "content": _FAILURE},
}
_STOP: dict[int | str, dict[str, Any]] = {
    200: {"description": "The log has ended; this is its state", "content": _STATE},
    202: {"description": "Only the caller was detached, or the end has not been reached yet", "content": _STATE},
    **_GONE,
}
_FORGET = {202: _STOP[202], **_GONE}

_ID = parameter("message_id", "path", "The last part of `Location`")
_BY_ID = {"parameters": [_ID]}
_FROM = {
    "parameters": [
        _ID,
        parameter("Last-Event-ID", "header", "The offset of the last event that was received"),
        parameter("after", "query", "The same, where headers cannot be set; `lastEventId` and `last_event_id` too"),
        PACE,
    ]
}


def add_log_routes(router: APIRouter, surface: Surface) -> None:
    """Add the routes of a log that has been started."""
    answers = surface.answers
    dialects = Dialects()

    async def state(found: Description, principal: Principal, message_id: str, status: int = 200) -> Response:
        body = dialects.json.whole(message_id, await answers.entries(found, principal))
        return Response(body, status, {"Cache-Control": "no-store"}, JSON)

    @router.get(LOG, response_class=Response, responses=_READ, openapi_extra=_FROM, name=READ)
    async def read(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Read on after `Last-Event-ID` or `?after=`; or, with `Accept: application/json`, the state so far."""
        message_id: str = request.path_params["message_id"]
        if wants(request, SSE, JSON, TEXT) != JSON:
            return await surface.resume(request, dialects.of(request), LOG, message_id)
        principal = await surface.principal(request)
        return await state(await answers.find(message_id, principal), principal, message_id)

    @router.post(f"{LOG}/stop", response_class=Response, responses=_STOP, openapi_extra=_BY_ID)
    async def end(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """End the answer, if no other subject wants it; the part that was written is kept."""
        message_id: str = request.path_params["message_id"]
        principal = await surface.principal(request)
        found = await answers.find(message_id, principal)
        note(request.scope, "stop", principal, message_id)
        ended = found.state != "open" or await answers.stop(found, principal)
        return await state(found, principal, message_id, 200 if ended else 202)

    @router.delete(LOG, status_code=204, response_class=Response, responses=_FORGET, openapi_extra=_BY_ID)
    async def forget(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Forget the log and the name bound to it; a running one is stopped first, if no other subject wants it.

        Callers without a key do not trust each other: what another one still reads is left to run, and 202 says so.
        """
        message_id: str = request.path_params["message_id"]
        principal = await surface.principal(request)
        found = await answers.find(message_id, principal)
        note(request.scope, "delete", principal, message_id)
        ended = found.state != "open" or await answers.stop(found, principal)
        if not ended and is_keyless(principal):
            return await state(found, principal, message_id, 202)
        await answers.forget(found, principal)
        return Response(status_code=204)
