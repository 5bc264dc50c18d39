"""What every route needs: the attacher, who asks, and the bytes of a request within bounds."""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import Request

from headwater.cache import policy
from headwater.errors import NoSuchLog, RequestError
from headwater.generation.attach import Attacher, Attachment
from headwater.log.store import Description
from headwater.offsets import ORIGIN, Offset, parse
from headwater.principal import Principal
from headwater.prompt import Prompt
from headwater.web.response import LogResponse, Pace
from headwater.wires.native.response import NativeWire
from headwater.wires.text.response import TextWire
from headwater.wires.wire import Wire

LOCATION = "headwater_stream"
"""The name of the route at which a log is read; it becomes the `Location` of every answer."""

_ID = re.compile(r"([a-z0-9-]{8,80})(~[a-z0-9]{1,32})?", re.ASCII)


class BodyTooLarge(RequestError):
    """The request's body is larger than this server reads."""

    code = "body_too_large"
    status = 413


class Parts(NamedTuple):
    """What the routes are made of."""

    attacher: Attacher
    principal: Callable[[Request], Awaitable[Principal]]
    pace: Pace = Pace()
    max_body: int = 4 * 1024 * 1024
    """Bytes of a request's body that are read at most."""

    async def body(self, request: Request) -> bytes:
        """The request's body, whatever its content type claims. Raises `BodyTooLarge` without reading on."""
        read = bytearray()
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) <= self.max_body:
            async for piece in request.stream():
                read += piece
                if len(read) > self.max_body:
                    break
            else:
                return bytes(read)
        raise BodyTooLarge(f"the body is larger than the {self.max_body} bytes that this server reads")

    async def answer(self, request: Request, prompt: Prompt) -> LogResponse:
        """Attach to the log that answers the prompt, and stream it from its beginning."""
        principal = await self.principal(request)
        directives = policy.parse(request.headers.get("cache-control"))
        key = request.headers.get("idempotency-key", "")[:256]
        attachment = await self.attacher.attach(prompt, principal, directives, key)
        return self.stream(request, attachment)

    def stream(self, request: Request, attachment: Attachment) -> LogResponse:
        """The response to a request that was attached to a log."""
        headers = {"Location": _location(request, attachment.message_id), "Cache-Status": attachment.status}
        if attachment.age is not None:
            headers["Age"] = str(int(attachment.age))
        wire = wire_for(request, attachment.message_id)
        # The winner's producer has been started but may not have run yet: nobody but this process will write its log.
        won = attachment.message_id == attachment.log
        return self.read(attachment.log, ORIGIN, wire, headers, here=won)

    def read(self, log: str, after: Offset, wire: Wire, headers: dict[str, str], *, here: bool = False) -> LogResponse:
        """A reader of a log as a response, which lets go when this server drains and the log is written elsewhere."""
        logs = self.attacher.logs
        leave = None if here or logs.writes(log) else self.attacher.draining
        return LogResponse(logs.read(log, after), wire, headers, fresh=after == ORIGIN, pace=self.pace, leave=leave)

    async def find(self, request: Request, message_id: str) -> Description:
        """The log behind a message id, if the one who asks may see it. Raises `NoSuchLog` or `Expired`."""
        match = _ID.fullmatch(message_id)
        if match is None:
            raise NoSuchLog(f"{message_id[:100]!r} is not the id of a log")
        principal = await self.principal(request)
        described = await self.attacher.logs.state(match[1])
        if described.tenant != principal.tenant:
            raise NoSuchLog(f"there is no log {match[1]}")
        return described


def _location(request: Request, message_id: str) -> str:
    """Where the log is read: through the router, because an app may have put these routes under a prefix of its own."""
    scope = request.scope
    path = scope["router"].url_path_for(LOCATION, message_id=message_id)
    return scope.get("app_root_path", scope.get("root_path", "")).rstrip("/") + path


def wire_for(request: Request, message_id: str) -> Wire:
    """The dialect a native route answers in: bare text for those who accept nothing richer, SSE otherwise."""
    accepted = request.headers.get("accept", "")
    return TextWire() if "text/plain" in accepted and "text/event-stream" not in accepted else NativeWire(message_id)


def position(request: Request) -> Offset:
    """Where a reader wants to go on: the `Last-Event-ID` header, else `?after=`, else the beginning."""
    written = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    return parse(written) if written else ORIGIN
