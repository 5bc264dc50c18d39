"""AG-UI's routes: a run of a thread, a run that is joined again, and the state of a thread.

A client of TanStack AI names its run in the header `X-Run-Id`, so that it can join it later. Documents then say which
log the run reads and at which run the thread is: any server finds them. Clients without the header cost no document.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headwater.answer import fold
from headwater.answers.attachment import Attachment
from headwater.dialects.agui.dialect import Agui, messages, refusal
from headwater.dialects.agui.page import shown
from headwater.dialects.dialect import Ask
from headwater.errors import Expired, NoSuchLog, RequestError
from headwater.log.store import MAX_DOCUMENT
from headwater.principal import Principal
from headwater.web.pointers import pointer
from headwater.web.problems import Endpoint
from headwater.web.surface import Surface

__all__ = ["endpoints", "refusal"]

ROUTE = "/agui"
RUN, THREAD = "agui:run:", "agui:thread:"
KEPT = 24 * 3600.0
"""Seconds for which a run and a thread are found by the client's ids; their logs may expire before."""


class Pointer(msgspec.Struct, frozen=True):
    """Which log a run reads, and what its thread had said before."""

    message_id: str
    thread: str
    run: str
    messages: list[dict[str, Any]] = []


def endpoints(surface: Surface) -> Mapping[str, Endpoint]:
    threads = Threads(surface)
    return {"POST /agui": threads.run, "GET /agui": threads.join}


class Threads:
    """The runs of threads. `surface` answers them."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface

    async def run(self, request: Request) -> Response:
        """Answer a run. A POST that is repeated with `Last-Event-ID` goes on in the log that it has begun to read."""
        run, surface = request.headers.get("x-run-id"), self._surface
        if run and "last-event-id" in request.headers:
            begun = await self._pointer(await surface.principal(request), RUN, run)
            if begun is not None:  # also of a replay, whose message ids the log's own id would not tell
                await surface.body(request)
                return await surface.resume(request, Agui(begun.thread, begun.run), ROUTE, begun.message_id)
        return await surface.ask(request, Agui(), ROUTE, self._point if run else None)

    async def join(self, request: Request) -> Response:
        """The events of `?runId=`, from its beginning or after `offset`; or the state of `?threadId=`."""
        query = request.query_params
        principal = await self._surface.principal(request)
        if run := query.get("runId"):
            found = await self._pointer(principal, RUN, run)
            if found is None:
                raise RequestError(f"there is no run {run[:100]} here; begin it with POST", "no_such_run", 404)
            return await self._surface.resume(request, Agui(found.thread, found.run), ROUTE, found.message_id)
        if thread := query.get("threadId"):
            at = await self._pointer(principal, THREAD, thread)
            at = at or Pointer("", thread, "")  # a page looks at every thread that it opens, at new ones too
            return JSONResponse(await self._state(principal, at), headers={"Cache-Control": "no-store"})
        raise RequestError("send a run with POST, or name one to join: ?runId=… or ?threadId=…")

    async def _point(self, ask: Ask, principal: Principal, attachment: Attachment) -> None:
        """Keep the way from the client's ids to the log."""
        asked = ask.dialect
        assert isinstance(asked, Agui)
        run = Pointer(attachment.message_id, asked.thread, asked.run)
        thread = msgspec.structs.replace(run, messages=[*asked.messages])
        if len(written := msgspec.json.encode(thread)) > MAX_DOCUMENT:  # the page then begins without its history
            written = msgspec.json.encode(run)
        kept = ((RUN, asked.run, msgspec.json.encode(run)), (THREAD, asked.thread, written))
        put = self._surface.answers.documents.put
        await asyncio.gather(*(put(pointer(kind, *principal, id), value, ttl=KEPT) for kind, id, value in kept if id))

    async def _pointer(self, principal: Principal, kind: str, id: str) -> Pointer | None:
        kept = await self._surface.answers.documents.get(pointer(kind, *principal, id))
        return None if kept is None else msgspec.json.decode(kept.value, type=Pointer)

    async def _state(self, principal: Principal, at: Pointer) -> Mapping[str, Any]:
        """The thread's messages, and its run while that goes on: the client joins it and needs no copy of its text."""
        answers, said = self._surface.answers, [*at.messages]
        active = None
        try:
            found = await answers.find(at.message_id, principal)
            if found.state == "open":
                active = {"runId": at.run}
            else:
                said += messages(fold(await answers.entries(found, principal), at.message_id))
        except (NoSuchLog, Expired):
            pass  # the answer has expired, and what was said before is still true
        return {"messages": shown(said), "activeRun": active}
