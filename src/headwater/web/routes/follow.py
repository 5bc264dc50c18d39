"""Several logs over one connection, each frame under the id of its log."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.dialects.dialect import Cursor
from headwater.dialects.native import openapi
from headwater.dialects.native.dialect import Native
from headwater.dialects.native.reader import NamedReader
from headwater.errors import HeadwaterError, RequestError
from headwater.events import error_event
from headwater.log.store import Description
from headwater.offsets import ORIGIN, parse_with_run
from headwater.principal import Principal
from headwater.web.follow import Followed, FollowResponse
from headwater.web.place import LOGS
from headwater.web.response import Delivery
from headwater.web.routes.native import SSE, parameter
from headwater.web.surface import Surface, head, is_read

MOST = 32
"""Logs that one connection follows at most."""
_READ = re.compile(r"([a-z0-9~-]{1,120})(?:@(.*))?", re.ASCII)


class InvalidFollow(RequestError):
    """The query names no logs, too many, or one twice."""

    code = "invalid_read"
    status = 422


def add_follow_route(router: APIRouter, surface: Surface) -> None:
    """Add the route that reads several logs."""
    dialect = Native()
    about = "`<id>` or `<id>@<offset>`: a log, and the id of the last event that was received; up to 32 of them"
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "The events of all of them", "content": {SSE: openapi.answer()[SSE]}},
        422: {"description": "No logs, too many, or one twice", "content": openapi.failure()},
    }

    @router.head(LOGS, include_in_schema=False)
    async def known(_: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return head(dialect)

    @router.get(
        LOGS,
        response_class=Response,
        responses=responses,
        openapi_extra={"parameters": [parameter("read", "query", about)]},
    )
    async def follow(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Read several logs at once, each after its own offset, until all have ended."""
        wanted = _wanted(request.query_params.getlist("read"))
        principal = await surface.principal(request)
        surface.capacity.check(request, principal)
        found = await asyncio.gather(*(_opened(surface, principal, *each) for each in wanted))
        # Whoever reads a log that another server writes goes on there when this one drains, with all that it reads.
        leaves = (surface.answers.departure(each.log) for _, each in found if each is not None and each.state == "open")
        leave = next((each for each in leaves if each is not None), None)
        response = FollowResponse([log for log, _ in found], Delivery(dialect, "", {}), surface.pace, leave)
        return surface.capacity.count(response, principal)


async def _opened(
    surface: Surface, principal: Principal, message_id: str, offset: str
) -> tuple[Followed, Description | None]:
    """A log to follow, or the frame that says why there is nothing to read; and the log if it was found."""
    reader, found = NamedReader(message_id), None
    try:
        after, run = parse_with_run(offset) if offset else (ORIGIN, "")
        found = await surface.answers.find(message_id, principal)
        if is_read(found, Cursor(after, run=run)):
            return Followed(reader, None, reader.settled()), None
    except HeadwaterError as error:
        return Followed(reader, None, reader.refused(error_event(error))), None
    return Followed(reader, surface.answers.read(found, principal, after, dialect="native")), found


def _wanted(written: Sequence[str]) -> Sequence[tuple[str, str]]:
    """The ids and offsets that a query names. Raises `InvalidFollow`."""
    if not 1 <= len(written) <= MOST:
        raise InvalidFollow(f"name 1 to {MOST} logs, each as read=<id> or read=<id>@<offset>")
    wanted: dict[str, str] = {}
    for each in written:
        match = _READ.fullmatch(each)
        if match is None or match[1] in wanted:
            why = "is no log's id" if match is None else "stands there twice"
            raise InvalidFollow(f"the query's read={each[:100]!r} {why}; write read=<id> or read=<id>@<offset>")
        wanted[match[1]] = match[2] or ""
    return list(wanted.items())
