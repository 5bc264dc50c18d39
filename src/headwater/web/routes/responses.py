"""The routes of OpenAI's Responses API.

What was asked is kept beside its log in documents, unless `store` is false. With it any server can say what a response
was about, go on in its conversation, and count its events from the beginning. They are their subject's own: others
who ask the same get the same log, and must not learn from its id what that request said besides.
"""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headwater.answers.attachment import Attachment
from headwater.dialects import shapes
from headwater.dialects.dialect import Ask
from headwater.dialects.openai_error import refusal
from headwater.dialects.responses.dialect import Responses
from headwater.dialects.responses.request import Wanted, messages, read
from headwater.entries import record
from headwater.errors import NoSuchLog, RequestError
from headwater.events import Start
from headwater.log.store import MAX_DOCUMENT, Description
from headwater.offsets import ORIGIN
from headwater.principal import Principal
from headwater.web.audit import note
from headwater.web.place import location
from headwater.web.pointers import pointer
from headwater.web.problems import Endpoint
from headwater.web.surface import BodyTooLarge, Surface

__all__ = ["endpoints", "refusal"]

ROUTE, DOCUMENT = "/v1/responses", "response:"


class Kept(msgspec.Struct, frozen=True):
    """What a response was asked."""

    echo: dict[str, Any]
    input: list[Any]
    before: list[Any]
    """The messages of the earlier turns, in the neutral shape."""
    subject: str
    """Who wants the answer; not its owner where the request's body named a user (`access/forwarded.py`)."""


class NoSuchResponse(NoSuchLog):
    """No response of this id is kept: it has expired, was not to be stored, or is somebody else's."""

    code = "response_not_found"


class PreviousGone(RequestError):
    """The response that a request continues is not kept, or has not ended well."""

    code = "previous_response_not_found"
    status = 400


def endpoints(surface: Surface) -> Mapping[str, Endpoint]:
    routes = _Routes(surface)
    return {
        f"POST {ROUTE}": routes.create,
        f"GET {ROUTE}/{{id}}": routes.retrieve,
        f"POST {ROUTE}/{{id}}/cancel": routes.cancel,
        f"DELETE {ROUTE}/{{id}}": routes.delete,
        f"GET {ROUTE}/{{id}}/input_items": routes.input_items,
    }


class _Routes:
    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._answers = surface.answers

    async def create(self, request: Request) -> Response:
        """Make a response. One in the background is answered at once, and goes on without a reader."""
        body = await self._surface.body(request)
        wanted = read(body)
        owner = await self._surface.principal(request)
        before = await self._before(wanted, owner)
        if before and len(body) + len(msgspec.json.encode(before)) > self._surface.max_body:
            raise BodyTooLarge("the input is too large together with its earlier turns; begin a new conversation")
        at: list[Attachment] = []

        async def attached(_: Ask, principal: Principal, attachment: Attachment) -> None:
            if wanted.background and self._surface.webhooks is not None:
                path = location(request, ROUTE, attachment.message_id)
                await self._surface.webhooks.expect(attachment, principal, path)
            if wanted.stored:
                kept = Kept(wanted.echo, wanted.input, before, principal.subject)
                await self._keep(attachment.message_id, owner, msgspec.json.encode(kept))
            at.append(attachment)

        dialect = Responses(wanted.echo, wanted.ask(before))
        made = await self._surface.ask(request, dialect, ROUTE, attached, leaves=not wanted.background, body=body)
        if not (at and wanted.background and not wanted.streamed):
            return made
        id, model = at[0].message_id, self._answers.offer(dialect.ask(body).prompt.model).name
        begun = record(ORIGIN, 0, Start(id, model, int(time.time())))
        return Response(dialect.whole(id, [begun], "queued"), 200, {"x-request-id": id}, "application/json")

    async def retrieve(self, request: Request) -> Response:
        """The response as it is now; with `?stream=true` its events after `starting_after`, or all of them."""
        principal = await self._surface.principal(request)
        id, kept = await self._found(request, principal)
        dialect = Responses(kept.echo)
        if request.query_params.get("stream") == "true":
            return await self._surface.resume(request, dialect, f"{ROUTE}/{{id}}", id)
        return await self._object(await self._answers.find(id, principal), principal, dialect, id)

    async def cancel(self, request: Request) -> Response:
        """End a response; one that has ended stays as it is."""
        principal = await self._surface.principal(request)
        id, kept = await self._found(request, principal)
        note(request.scope, "stop", principal, id)
        return await self._object(await self._ended(id, principal, kept), principal, Responses(kept.echo), id)

    async def delete(self, request: Request) -> Response:
        """End a response and forget what was asked: nobody finds it any more, and its log expires by itself."""
        principal = await self._surface.principal(request)
        id, kept = await self._found(request, principal)
        note(request.scope, "delete", principal, id)
        await self._ended(id, principal, kept)
        for part in range(1 + len(msgspec.json.encode(kept)) // MAX_DOCUMENT):
            await self._answers.documents.delete(_name(id, principal, part))
        return JSONResponse({"id": f"resp_{id}", "object": "response.deleted", "deleted": True})

    async def input_items(self, request: Request) -> Response:
        """The items of the request, without those of earlier turns."""
        _, kept = await self._found(request, await self._surface.principal(request))
        return JSONResponse({"object": "list", "data": kept.input, "has_more": False})

    async def _before(self, wanted: Wanted, principal: Principal) -> list[Any]:
        """The messages of the turns before this one."""
        if wanted.previous is None:
            return []
        id = wanted.previous.removeprefix("resp_")
        asked = await self._kept(id, principal)
        if asked is None:
            raise PreviousGone(f"the response {wanted.previous[:100]} is not kept any more; send its messages as input")
        answer = await self._answers.answer(await self._answers.find(id, principal), principal)
        if answer.state != "finished":
            raise PreviousGone(f"the response {wanted.previous[:100]} is {answer.state}; go on when it has finished")
        again = id.partition("~")[2]
        own, of_calls = shapes.needed_back(answer.metadata)
        calls = [
            {"id": f"{call.id}_{again}" if again else call.id, "name": call.name, "arguments": call.arguments}
            | of_calls.get(call.id, {})
            for call in answer.tools
        ]
        said = shapes.message({**own, "role": "assistant", "content": answer.text, "tool_calls": calls})
        return [*asked.before, *messages(asked.input), said]

    async def _found(self, request: Request, principal: Principal) -> tuple[str, Kept]:
        id: str = request.path_params["id"].removeprefix("resp_")
        kept = await self._kept(id, principal)
        if kept is None:
            raise NoSuchResponse(f"there is no response resp_{id[:100]} here; ask again")
        return id, kept

    async def _keep(self, id: str, owner: Principal, value: bytes) -> None:
        """Keep a value in as many documents as it needs, the first of them last; only the last is not full."""
        for part in reversed(range(1 + len(value) // MAX_DOCUMENT)):
            piece = value[part * MAX_DOCUMENT :][:MAX_DOCUMENT]
            await self._answers.documents.put(_name(id, owner, part), piece, ttl=self._answers.kept_for)

    async def _kept(self, id: str, owner: Principal) -> Kept | None:
        """What was asked for a response; None if that is not kept."""
        pieces: list[bytes] = []
        while not pieces or len(pieces[-1]) == MAX_DOCUMENT:
            found = await self._answers.documents.get(_name(id, owner, len(pieces)))
            if found is None:
                return None
            pieces.append(found.value)
        return msgspec.json.decode(b"".join(pieces), type=Kept)

    async def _ended(self, id: str, principal: Principal, kept: Kept) -> Description:
        """The log of a response whose end was requested, unless somebody else wants the same answer."""
        found = await self._answers.find(id, principal)
        if found.state == "open":
            await self._answers.stop(found, principal._replace(subject=kept.subject))
        return found

    async def _object(self, found: Description, principal: Principal, dialect: Responses, id: str) -> Response:
        body = dialect.whole(id, await self._answers.entries(found, principal))
        return Response(body, 200, {"x-request-id": id}, "application/json")


def _name(id: str, owner: Principal, part: int) -> str:
    """The name of a part of what was asked for a response."""
    return pointer(DOCUMENT, *owner, id) + (f".{part}" if part else "")
