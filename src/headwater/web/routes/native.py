"""The native routes that start an answer: the minimal stream, a completion, a chat."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.cache.policy import Directives
from headwater.dialects.dialect import Ask, Dialect
from headwater.dialects.native import openapi
from headwater.dialects.native import request as native
from headwater.dialects.native.dialect import Native
from headwater.dialects.native.schema import ChatBody, CompletionBody
from headwater.dialects.text.dialect import Text
from headwater.models.catalogue import Offer
from headwater.models.model import Model
from headwater.models.scripted import Clock
from headwater.prompt import Message, Prompt
from headwater.web.accept import accepts, wants
from headwater.web.surface import Asked, Surface, head

SSE, JSON, TEXT = "text/event-stream", "application/json", "text/plain"

START = "/api/stream"
COMPLETION = "/api/stream/completion"
CHAT = "/api/stream/completion/chat"

_FAILURE = openapi.failure()
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer, in the form that `Accept` asks for", "content": openapi.answer()},
    204: {"description": "Nothing follows `Last-Event-ID`: the client has seen the ending"},
    "4XX": {"description": "The request cannot be served", "content": _FAILURE},
    "5XX": {"description": "The provider or the store failed", "content": _FAILURE},
}
_STREAMED = {form: content for form, content in openapi.answer().items() if form != JSON}
_TICKS = _ANSWER | {200: {"description": "Five ticks and an ending", "content": _STREAMED}}


def parameter(name: str, where: str, about: str) -> dict[str, Any]:
    """A parameter of a route as OpenAPI describes it; in a header, in the query or in the path."""
    required = where == "path"
    return {"name": name, "in": where, "required": required, "description": about, "schema": {"type": "string"}}


PACE = parameter("pace", "query", "How fast a stored answer is told: `instant`, `original` or tokens per second")
_PARAMETERS = [
    parameter(
        "Cache-Control",
        "header",
        "`no-cache`, `no-store`, `max-age=N`, `max-stale=N` or `only-if-cached` (RFC 9111), "
        "`stale-while-revalidate=N` or `stale-if-error=N` (RFC 5861)",
    ),
    parameter(
        "Headwater-Webhook", "header", "An address that is told when the answer ends, where the server allows it"
    ),
    parameter("Idempotency-Key", "header", "A repeated POST with the same key joins its first run, also uncached"),
    parameter("Last-Event-ID", "header", "A repeated POST goes on after this offset, in the log that handed it out"),
    PACE,
]


def _body_of(body: type[ChatBody] | type[CompletionBody]) -> dict[str, Any]:
    return {"requestBody": openapi.request(body), "parameters": _PARAMETERS}


class Dialects:
    """The forms in which the native routes answer, chosen by `Accept`, and by `"stream": false` in the body."""

    def __init__(self, body: Callable[[bytes], Ask] = native.chat) -> None:
        def streamed(raw: bytes) -> Ask:
            return body(raw)._replace(whole=False)

        def either(raw: bytes) -> Ask:
            ask = body(raw)
            return ask._replace(dialect=self.json) if ask.whole else ask

        self.json = Native(lambda raw: body(raw)._replace(whole=True))
        self._only: dict[str, Dialect] = {SSE: Native(streamed), TEXT: Text(streamed), JSON: self.json}
        self._or_json: dict[str, Dialect] = {SSE: Native(either), TEXT: Text(either), JSON: self.json}

    def of(self, request: Request) -> Dialect:
        """SSE unless the client prefers bare text, or one JSON object.

        Where `Accept` allows JSON at all, the dialect leaves the last word to the body.
        """
        forms = self._or_json if accepts(request, JSON) else self._only
        return forms[wants(request, *forms)]


def add_native_routes(router: APIRouter, surface: Surface) -> None:
    """Add the routes that start an answer."""
    minimal_stream, completions, chats = Dialects(), Dialects(native.completion), Dialects()

    async def build() -> Model:
        return Clock(surface.tick)

    clock = Offer("clock", "clock", False, build)  # in no catalogue: a request cannot name it

    @router.head(START, include_in_schema=False)
    async def known(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return head(minimal_stream.of(request))

    @router.get(START, response_class=Response, responses=_TICKS)
    @router.post(START, response_class=Response, responses=_TICKS)
    async def minimal(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Five timed events over a second and no model: shows whether a proxy on the way buffers.

        An `EventSource` that reconnects, with `Last-Event-ID`, gets the rest of the same run, and 204 after its end.
        """
        principal, dialect = await surface.principal(request), minimal_stream.of(request)
        prompt = Prompt(model=clock.name, messages=[Message("user", "tick")])
        if rest := await surface.continued(request, dialect, START, Asked(prompt, principal, clock)):
            return rest
        with surface.capacity.claim(request, principal):
            attachment = await surface.answers.ask(prompt, principal, Directives(no_store=True), offer=clock)
        delivery = surface.delivery(request, START, dialect, attachment)
        return surface.read(attachment, principal, delivery)

    @router.post(COMPLETION, response_class=Response, responses=_ANSWER, openapi_extra=_body_of(CompletionBody))
    async def completion(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Complete a text: `{"message": …}` or `{"prompt": …}`."""
        return await surface.ask(request, completions.of(request), COMPLETION)

    @router.post(CHAT, response_class=Response, responses=_ANSWER, openapi_extra=_body_of(ChatBody))
    async def chat(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Answer a chat: `{"messages": [{"role", "content"}], "model"?, "temperature"?, …}`."""
        return await surface.ask(request, chats.of(request), CHAT)
