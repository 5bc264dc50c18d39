"""The three original routes: the minimal stream, a completion, a chat."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.cache.policy import Directives
from headwater.dialects.native import request as native
from headwater.prompt import Message, Prompt
from headwater.web.parts import START, Parts, head, wire_for

CLOCK = "clock"
"""The name under which the catalogue keeps the model of the minimal stream."""

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


def add_chat_routes(router: APIRouter, parts: Parts) -> None:
    """Add the routes that start an answer."""

    @router.head(START, include_in_schema=False)
    async def known(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return head(wire_for(request, ""), {})

    @router.get(START, response_class=Response, responses=_STREAM)
    @router.post(START, response_class=Response, responses=_STREAM)
    async def minimal(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Five timed events over a second and no model: shows whether a proxy on the way buffers."""
        prompt = Prompt(model=CLOCK, messages=[Message("user", "tick")])
        attachment = await parts.attacher.attach(prompt, await parts.principal(request), Directives(no_store=True))
        return parts.stream(request, attachment)

    @router.post(f"{START}/completion", response_class=Response, responses=_STREAM, openapi_extra=_COMPLETION)
    async def completion(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Complete a text: `{"message": …}` or `{"prompt": …}`."""
        return await parts.answer(request, native.completion(await parts.body(request)))

    @router.post(f"{START}/completion/chat", response_class=Response, responses=_STREAM, openapi_extra=_CHAT)
    async def chat(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Answer a chat: `{"messages": [{"role", "content"}], "model"?, "temperature"?, …}`."""
        return await parts.answer(request, native.chat(await parts.body(request)))
