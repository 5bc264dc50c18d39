"""What every route needs: the attacher, who asks, and the bytes of a request within bounds."""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headwater.answers.answers import Attacher, Attachment
from headwater.cache import policy
from headwater.dialects.dialect import Wire
from headwater.dialects.native.response import NativeWire
from headwater.dialects.text.response import TextWire
from headwater.errors import NoSuchLog, RequestError
from headwater.log.store import Description
from headwater.offsets import ORIGIN, Offset, parse
from headwater.principal import Principal
from headwater.prompt import Prompt
from headwater.web.accept import preferred
from headwater.web.response import LogResponse, Pace

SSE, JSON, TEXT = "text/event-stream", "application/json", "text/plain"
START = "/api/stream"
"""How the path of every route that starts an answer goes on after the prefix that an app gives to these routes."""

_ID = re.compile(r"([a-z0-9-]{8,80})(~[a-z0-9]{1,32})?", re.ASCII)


class BodyTooLarge(RequestError):
    """The request's body is larger than this server reads."""

    code = "body_too_large"
    status = 413


class Gone(RequestError):
    """The client left before it had sent its whole request; there is nobody to tell."""

    code = "client_gone"


class Parts(NamedTuple):
    """What the routes are made of."""

    attacher: Attacher
    principal: Callable[[Request], Awaitable[Principal]]
    pace: Pace = Pace()
    max_body: int = 4 * 1024 * 1024
    """Bytes of a request's body that are read at most."""

    async def body(self, request: Request) -> bytes:
        """The request's body, whatever its content type claims. Raises `BodyTooLarge` without reading on, or `Gone`."""
        read = bytearray()
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) <= self.max_body:
            try:
                async for piece in request.stream():
                    read += piece
                    if len(read) > self.max_body:
                        break
                else:
                    return bytes(read)
            except ClientDisconnect as left:
                raise Gone("the client left before it had sent its whole request") from left
        raise BodyTooLarge(f"the body is larger than the {self.max_body} bytes that this server reads")

    async def answer(self, request: Request, prompt: Prompt) -> LogResponse:
        """Attach to the log that answers the prompt, and stream it from its beginning."""
        principal = await self.principal(request)
        directives = policy.parse(_field(request, "cache-control"))
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


def place(request: Request) -> str:
    """The request's own path as its client sees it, whatever prefix, mount or proxy lies before these routes."""
    scope = request.scope
    root: str = scope.get("app_root_path", scope.get("root_path", "")).rstrip("/")
    path: str = scope["path"]
    # Servers differ in whether the path that they tell begins with the root.
    return quote(path if path.startswith(f"{root}/") else root + path, safe="/~!$&'()*+,;=:@")


def wire_for(request: Request, message_id: str) -> Wire:
    """The dialect a native route answers in: bare text for those who want nothing richer, SSE otherwise."""
    return TextWire() if wants(request, SSE, TEXT) == TEXT else NativeWire(message_id)


def head(wire: Wire, headers: dict[str, str]) -> Response:
    """What a stream in this dialect begins with, for who asks for no more than that: nothing is started or read."""
    return Response(None, 200, {**headers, "Content-Type": wire.media_type, "Cache-Control": "no-cache, no-transform"})


def wants(request: Request, *offers: str) -> str:
    """Which of these media types the client would have."""
    return preferred(_field(request, "accept"), *offers)


def _location(request: Request, message_id: str) -> str:
    """Where the log is read, beside the route that was asked: an app may have these routes more than once."""
    return f"{place(request).rpartition(START)[0]}/api/streams/{message_id}"


def _field(request: Request, name: str) -> str:
    """A header that is a list, which may come in several lines (RFC 9110 §5.3)."""
    return ", ".join(request.headers.getlist(name))


def position(request: Request) -> Offset:
    """Where a reader wants to go on: the `Last-Event-ID` header, else `?after=`, else the beginning."""
    written = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    return parse(written) if written else ORIGIN
