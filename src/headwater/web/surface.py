"""What every route needs: the answers, the principal, and a request's body within its limit."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headwater.access.forwarded import in_body, within
from headwater.answers.answers import Answers
from headwater.answers.attachment import Attachment
from headwater.answers.claim import AGAIN, FIRST
from headwater.cache import policy
from headwater.dialects.body import UnsupportedBody
from headwater.dialects.dialect import Ask, Cursor, Dialect
from headwater.dialects.native.reader import NativeReader
from headwater.errors import Expired, HeadwaterError, RequestError
from headwater.log.feed import Take
from headwater.log.store import Description, check_offset
from headwater.models.catalogue import Offer
from headwater.offsets import run_of
from headwater.principal import ANYONE, Principal
from headwater.prompt import Prompt
from headwater.telemetry.metrics import Metrics
from headwater.web.accept import field
from headwater.web.capacity import Capacity
from headwater.web.gate import IN_BODY
from headwater.web.place import location
from headwater.web.problems import refused
from headwater.web.replay import INSTANT, paced, rate_of, telling_saved
from headwater.web.response import Delivery, LogResponse, Pace, Pages
from headwater.web.visitors import admit, visitor_of
from headwater.web.whole import WholeResponse

if TYPE_CHECKING:
    from headwater.webhooks.queue import Webhooks

_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]+)", re.IGNORECASE)
_UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii")


class BodyTooLarge(RequestError):
    """The request's body is larger than this server reads."""

    code = "body_too_large"
    status = 413


class Gone(RequestError):
    """The client disconnected before it had sent its whole request; no response reaches it."""

    code = "client_gone"


class Asked(NamedTuple):
    """What a request asks for, by whom, and of which model where its route has one of its own."""

    prompt: Prompt
    principal: Principal
    offer: Offer | None = None


Attached = Callable[[Ask, Principal, Attachment], Awaitable[None]]
"""What a route does about an answer that is found or begun."""


class Surface(NamedTuple):
    """What the routes share."""

    answers: Answers
    identify: Callable[[Request], Awaitable[Principal]]
    """Who asks, as the keys or the app know it; `ANYONE` where they name nobody."""
    pace: Pace = Pace()
    max_body: int = 4 * 1024 * 1024
    """Bytes of a request's body that are read at most."""
    tick: float = 0.2
    """Seconds between the events of the minimal stream."""
    capacity: Capacity = Capacity()
    """Limits the streams of this process."""
    replay: float = INSTANT
    """The rate at which stored answers are told, unless the request names another (`replay.rate_of`)."""
    metrics: Metrics | None = None
    """What the operator's routes show; None in an app that includes our routes."""
    webhooks: "Webhooks | None" = None
    """Who is told of the ends of answers, if anybody is."""

    async def principal(self, request: Request) -> Principal:
        """Who asks; a visitor where nobody else names the caller. Raises `StoreError`, and what `identify` raises."""
        found = await self.identify(request)
        return await visitor_of(request, self.answers) if found == ANYONE else found

    async def body(self, request: Request) -> bytes:
        """The request's body, whatever its content type claims.

        Raises `UnsupportedBody` for a declared encoding other than UTF-8, `BodyTooLarge` without reading on, or `Gone`.
        """
        _check_encoding(request)
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

    async def ask(
        self,
        request: Request,
        dialect: Dialect,
        route: str,
        attached: Attached | None = None,
        *,
        leaves: bool = False,
        body: bytes | None = None,
    ) -> Response:
        """Attach to the log that answers a request in this dialect, and deliver it from its beginning.

        A repeated request goes on after its cursor instead, if that is of a log which this prompt opened. `route` is
        the path under which the route was added, before any prefix. `attached` is awaited before the answer begins.
        With `leaves`, an answer that nobody reads any more ends (`Answers.ask`). `body` is the request's, if that has
        been read. A failure is the dialect's refusal.
        """
        try:
            body = await self.body(request) if body is None else body
            ask = dialect.ask(body)
            dialect = ask.dialect or dialect
            rate = self._rate(request)
            request.state.leaves = leaves  # for `cli/connection.py`
            principal = await self.principal(request)
            if IN_BODY in request.scope and route.startswith("/v1/"):
                principal = within(principal, in_body(body))
            if not ask.whole and (rest := await self.continued(request, dialect, route, Asked(ask.prompt, principal))):
                return rest
            directives = policy.parse(field(request, "cache-control"))
            if ask.bypass or ask.renew:
                no_store = ask.bypass or directives.no_store
                directives = msgspec.structs.replace(directives, no_store=no_store, no_cache=True)
            told = self.told(request)
            key = request.headers.get("idempotency-key", "")
            if not key and (attempt := request.headers.get("x-stainless-retry-count")):
                key = FIRST if attempt == "0" else AGAIN  # the SDKs of OpenAI and Anthropic only count
            with self.capacity.claim(request, principal):
                attachment = await self.answers.ask(
                    ask.prompt, principal, directives, idempotency_key=key, leaves=leaves
                )
            if self.webhooks is not None and told is not None:
                await self.webhooks.expect(attachment, principal, location(request, route, attachment.message_id), told)
            if attached is not None:
                await attached(ask, principal, attachment)
        except (HeadwaterError, HTTPException) as error:
            if self.metrics is not None:
                self.metrics.refused(error.code if isinstance(error, HeadwaterError) else "http")
            return refused(error, dialect.refusal, request)
        delivery = self.delivery(request, route, dialect, attachment)
        if ask.whole:
            return self.whole(attachment, principal, delivery)
        return self.read(attachment, principal, delivery, INSTANT if attachment.age is None else rate)

    def told(self, request: Request) -> str | None:
        """The address that a request wants to be told of the answer's end. Raises `WebhookRefused`."""
        url = None if self.webhooks is None else request.headers.get("headwater-webhook")
        return url if url is None or self.webhooks is None else self.webhooks.asked.check(url)

    async def resume(self, request: Request, dialect: Dialect, route: str, message_id: str) -> Response:
        """Deliver a log from the client's cursor on; 204 when the client has the ending already.

        `route` is the path under which the route was added, before any prefix. A failure is the dialect's refusal.
        """
        try:
            principal = await self.principal(request)
            found = await self.answers.find(message_id, principal)
            cursor = dialect.cursor(request.headers, request.query_params)
            headers = {"Location": location(request, route, message_id), **dialect.headers(message_id)}
            delivery = Delivery(dialect, message_id, headers, cursor)
            rate = self._rate(request, "~" in message_id)
            return self._rest(request, found, principal, delivery, INSTANT if found.state == "open" else rate)
        except (HeadwaterError, HTTPException) as error:
            return refused(error, dialect.refusal, request)

    async def continued(self, request: Request, dialect: Dialect, route: str, asked: Asked) -> Response | None:
        """What follows the cursor of a client that repeats its request; None if the request is to be answered anew.

        Clients of Server-Sent Events that POST reconnect by the same POST with `Last-Event-ID`. `route` is as for
        `ask`. Raises `StoreError`, or `Expired` for an offset that the log cannot have handed out.
        """
        query: Mapping[str, str] = request.query_params if request.scope["query_string"] else {}  # dear to build
        try:
            cursor = dialect.cursor(request.headers, query)
        except RequestError:  # an id of some other server, perhaps: the whole answer is never wrong
            return None
        found = (
            await self.answers.opened(asked.prompt, asked.principal, cursor.run, asked.offer) if cursor.run else None
        )
        if found is None:
            return None
        headers = {"Location": location(request, route, found.log), **dialect.headers(found.log)}
        return self._rest(request, found, asked.principal, Delivery(dialect, found.log, headers, cursor))

    def delivery(self, request: Request, route: str, dialect: Dialect, attachment: Attachment) -> Delivery:
        """How to deliver an answer, from its beginning, to the request that was attached to it."""
        id = attachment.message_id
        headers = {"Location": location(request, route, id), "Cache-Status": attachment.status, **dialect.headers(id)}
        headers |= attachment.fields
        if attachment.age is not None:
            headers["Age"] = str(int(attachment.age))
        return Delivery(dialect, id, headers, cached=attachment.cached)

    def _rest(
        self, request: Request, found: Description, principal: Principal, delivery: Delivery, rate: float = INSTANT
    ) -> Response:
        """What follows the delivery's cursor, or 204. Raises `Expired`, `ServerFull` or `OverLimit`."""
        if is_read(found, delivery.cursor):
            return Response(status_code=204)
        if request.method == "HEAD":
            return head(delivery.dialect, delivery.headers)
        self.capacity.check(request, principal)
        return self.read(found, principal, delivery, rate)

    def _rate(self, request: Request, replays: bool = True) -> float:
        """The pace that a request asks for, else that of this server's replays. Raises `RequestError`."""
        written = request.query_params.get("pace") if request.scope["query_string"] else None
        return rate_of(written) if written is not None else self.replay if replays else INSTANT

    def read(
        self, found: Attachment | Description, principal: Principal, delivery: Delivery, rate: float = INSTANT
    ) -> Response:
        """A stream of a log; it ends early when this server drains and another one writes the log."""
        reader = delivery.dialect.reader(delivery.message_id, delivery.cursor)
        if isinstance(reader, NativeReader):
            reader.cached = delivery.cached

        def pages(take: Take) -> Pages:
            read = partial(self.answers.read, found, principal, reader.begin, dialect=delivery.dialect.name)
            if isinstance(reader, NativeReader) and reader.cached is not None and reader.cached.status == "hit":
                replayed = telling_saved(read(), reader, partial(self.answers.ending, found, principal))
            elif rate == INSTANT:
                return read(take=take)
            else:
                replayed = read()
            return replayed if rate == INSTANT else paced(replayed, rate)

        leave, log = self.answers.departure(found.log), found.log
        response = LogResponse(pages, reader, delivery, self.pace, leave, lambda: self.answers.retrying(log))
        return self.capacity.count(response, principal)

    def whole(self, found: Attachment | Description, principal: Principal, delivery: Delivery) -> Response:
        """The answer as one JSON object, once it has ended."""
        pages = self.answers.read(found, principal, dialect=delivery.dialect.name)
        return self.capacity.count(WholeResponse(pages, delivery, self.answers.departure(found.log)), principal)


class Personal(Surface):
    """The same for routes that keep something for one caller: whoever is `ANYONE` becomes a visitor, by a cookie."""

    async def principal(self, request: Request) -> Principal:
        found = await self.identify(request)
        return await admit(request, self.answers) if found == ANYONE else found


def is_read(found: Description, cursor: Cursor) -> bool:
    """Whether a client at this cursor has the whole log. Raises `Expired` for an offset that is not of this log."""
    if cursor.run and cursor.run != run_of(found.log):
        raise Expired.beyond(cursor.after, found.last)
    if found.state == "open":
        return False
    check_offset(cursor.after, found.state, found.last.epoch, found.last)
    return cursor.after == found.last


def _check_encoding(request: Request) -> None:
    coding = field(request, "content-encoding").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedBody(f"Content-Encoding: {coding[:40]} is not read here; send the body as it is")
    charset = _CHARSET.search(request.headers.get("content-type", ""))
    if charset is not None and charset[1].lower() not in _UTF_8:
        raise UnsupportedBody(f"the charset {charset[1][:40]} is not read here; send JSON in UTF-8")


def head(dialect: Dialect, headers: Mapping[str, str] | None = None) -> Response:
    """The headers of a stream in this dialect, for HEAD requests: nothing is started or read."""
    fixed = {"Content-Type": dialect.media_type, "Cache-Control": "no-cache, no-transform"}
    return Response(None, 200, {**(headers or {}), **fixed})
