"""The native routes that start an answer: the minimal stream, a completion, a chat."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.cache.policy import Directives
from headwater.dialects.dialect import Dialect
from headwater.dialects.native import request as native
from headwater.dialects.native.dialect import Native
from headwater.dialects.text.dialect import Text
from headwater.models.catalogue import Offer
from headwater.models.model import Model
from headwater.models.scripted import Clock
from headwater.prompt import Message, Prompt
from headwater.web.accept import wants
from headwater.web.surface import Surface, head

SSE, JSON, TEXT = "text/event-stream", "application/json", "text/plain"

START = "/api/stream"
COMPLETION = "/api/stream/completion"
CHAT = "/api/stream/completion/chat"

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer as Server-Sent Events, or as bare text for `Accept: text/plain`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}, "text/plain": {"schema": {"type": "string"}}},
    },
    "4XX": {"description": "The request cannot be done as asked", "content": {"application/problem+json": {}}},
    "5XX": {"description": "The provider or the store failed", "content": {"application/problem+json": {}}},
}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": ["system", "user", "assistant", "tool"]},
        "content": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
    },
}
_CHAT = _body(
    {
        "type": "object",
        "required": ["messages"],
        "properties": {
            "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
            "model": {"type": "string"},
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "max_tokens": {"type": "integer", "minimum": 1},
            "conversation_id": {"type": "string"},
        },
    }
)
_COMPLETION = _body(
    {
        "type": "object",
        "properties": {"message": {"type": "string"}, "prompt": {"type": "string"}, "model": {"type": "string"}},
    }
)


class Dialects:
    """The forms in which the native routes answer, chosen by `Accept`."""

    def __init__(self, body: Callable[[bytes], Prompt]) -> None:
        self.json = Native(body, whole=True)
        self._forms: dict[str, Dialect] = {SSE: Native(body), TEXT: Text(body), JSON: self.json}

    def of(self, request: Request) -> Dialect:
        """SSE unless the client prefers bare text, or one JSON object."""
        return self._forms[wants(request, *self._forms)]


def add_native_routes(router: APIRouter, surface: Surface) -> None:
    """Add the routes that start an answer."""
    minimal_stream, completions, chats = Dialects(native.chat), Dialects(native.completion), Dialects(native.chat)

    async def build() -> Model:
        return Clock(surface.tick)

    clock = Offer("clock", "clock", False, build)  # in no catalogue: a request cannot name it

    @router.head(START, include_in_schema=False)
    async def known(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return head(minimal_stream.of(request))

    @router.get(START, response_class=Response, responses=_STREAM)
    @router.post(START, response_class=Response, responses=_STREAM)
    async def minimal(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Five timed events over a second and no model: shows whether a proxy on the way buffers."""
        principal = await surface.principal(request)
        prompt = Prompt(model=clock.name, messages=[Message("user", "tick")])
        attachment = await surface.answers.ask(prompt, principal, Directives(no_store=True), offer=clock)
        delivery = surface.delivery(request, START, minimal_stream.of(request), attachment)
        return surface.read(attachment, principal, delivery)

    @router.post(COMPLETION, response_class=Response, responses=_STREAM, openapi_extra=_COMPLETION)
    async def completion(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Complete a text: `{"message": …}` or `{"prompt": …}`."""
        return await surface.ask(request, completions.of(request), COMPLETION)

    @router.post(CHAT, response_class=Response, responses=_STREAM, openapi_extra=_CHAT)
    async def chat(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Answer a chat: `{"messages": [{"role", "content"}], "model"?, "temperature"?, …}`."""
        return await surface.ask(request, chats.of(request), CHAT)
