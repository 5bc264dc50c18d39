"""The routes of clients that speak another dialect than our own. A dialect is imported when somebody first asks in it.

Each file in `web/routes` that a door names exports `endpoints(surface)`, by method and path, and `refusal`, the form of
its failures.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headwater.dialects.dialect import Refusal
from headwater.dialects.problem import problem
from headwater.errors import HeadwaterError, RequestError, Unsupported
from headwater.events import Error
from headwater.web.problems import Endpoint, Refuse, refused
from headwater.web.surface import Surface


class Rooms(Protocol):
    """The module behind a door."""

    def endpoints(self, surface: Surface) -> Mapping[str, Endpoint]:
        """What answers each route of the door, such as `POST /v1/messages`."""
        ...

    def refusal(self, error: Error) -> Refusal:
        """A failure before the first byte, in this dialect's form."""
        ...


class Door(NamedTuple):
    """The routes of one dialect."""

    name: str
    enter: Callable[[], Rooms]
    """Imports the module behind the door."""
    routes: Mapping[str, str]
    """What each route is for, by method and path."""
    prefixes: Sequence[str] = ()
    """The paths at which failures have the dialect's form, unknown paths included."""


def _agui() -> Rooms:
    from headwater.web.routes import agui

    return agui


def _anthropic() -> Rooms:
    from headwater.web.routes import anthropic

    return anthropic


def _responses() -> Rooms:
    from headwater.web.routes import responses

    return responses


def _openai() -> Rooms:
    from headwater.web.routes import openai

    return openai


def _vercel() -> Rooms:
    from headwater.web.routes import vercel

    return vercel


DOORS: Sequence[Door] = (
    Door(
        "ag-ui",
        _agui,
        {
            "POST /agui": "Answer a run of a thread (AG-UI: CopilotKit, TanStack AI)",
            "GET /agui": "Join a run, `?runId=`, or look at a thread, `?threadId=`",
        },
        ["/agui"],
    ),
    Door(
        "anthropic",
        _anthropic,
        {
            "POST /v1/messages": "Answer a chat, in Anthropic's form",
            "POST /v1/messages/count_tokens": "How many tokens a chat has",
        },
        ("/v1/messages",),  # before the door whose prefix holds it
    ),
    Door(
        "responses",
        _responses,
        {
            "POST /v1/responses": "Make a response, streamed, whole or in the background",
            "GET /v1/responses/{id}": "A response as it is now, or its events after one of them",
            "POST /v1/responses/{id}/cancel": "End a response",
            "DELETE /v1/responses/{id}": "Forget a response",
            "GET /v1/responses/{id}/input_items": "What a response was asked",
        },
        ("/v1/responses",),
    ),
    Door(
        "openai",
        _openai,
        {
            "POST /v1/chat/completions": "Answer a chat, in OpenAI's form",
            "POST /v1/completions": "Complete a text, in OpenAI's form",
            "GET /v1/models": "The models that a request may name",
            "GET /v1/models/{model:path}": "One of the models",
        },
        ("/v1",),
    ),
    Door(
        "vercel",
        _vercel,
        {
            "POST /api/chat": "`useChat` of the Vercel AI SDK: start or join an answer",
            "GET /api/chat/{id}/stream": "Resume the run of a chat, or a run by its id from `?startIndex=` on",
            "POST /api/chat/{id}/stop": "Stop the run of a chat",
            "POST /api/completion": "`useCompletion` of the Vercel AI SDK",
        },
        ("/api/chat", "/api/completion"),
    ),
)

EVERY = ("*",)
"""Stands for all dialects."""


class NoSuchPath(RequestError):
    """No route has this path."""

    code = "not_found"
    status = 404


def add_doors(router: APIRouter, surface: Surface, dialects: Sequence[str] = EVERY) -> None:
    """Add the routes of these dialects. Raises `Unsupported` for the name of none."""
    known = {door.name for door in DOORS}
    for name in dialects:
        if name not in {*known, "*"}:
            raise Unsupported(f"there is no dialect {name!r}; there are {', '.join(sorted(known))}")
    for door in DOORS:
        if "*" in dialects or door.name in dialects:
            opened = _Opened(door, surface)
            for route, summary in door.routes.items():
                method, _, path = route.partition(" ")
                endpoint = opened.at(route)
                if method == "GET":
                    router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
                router.add_api_route(
                    path,
                    endpoint,
                    methods=[method],
                    response_class=Response,
                    summary=summary,
                    tags=[door.name],
                    operation_id=route,
                )


def add_unknown(router: APIRouter) -> None:
    """Answer 404 at every other path under the doors' prefixes, in the form that clients there read."""
    for door in DOORS:
        for prefix in door.prefixes:
            methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
            router.add_route(f"{prefix}/{{path:path}}", _unknown, methods, include_in_schema=False)


def refusal_at(path: str) -> Refuse:
    """The form of a failure at this path: that of the dialect whose clients call it, else problem JSON."""
    for door in DOORS:
        if path.startswith(tuple(door.prefixes)):
            return door.enter().refusal
    return problem


class _Opened:
    """The endpoints behind a door, made when the first of them is called."""

    def __init__(self, door: Door, surface: Surface) -> None:
        self._door = door
        self._surface = surface
        self._endpoints: Mapping[str, Endpoint] | None = None

    def at(self, route: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            rooms = self._door.enter()
            if self._endpoints is None:
                self._endpoints = rooms.endpoints(self._surface)
            try:
                return await self._endpoints[route](request)
            except (HeadwaterError, HTTPException) as error:
                return refused(error, rooms.refusal, request)

        return endpoint


async def _unknown(request: Request) -> Response:
    path = request.scope["path"]
    return refused(NoSuchPath(f"there is no {request.method} {path[:100]} here"), refusal_at(path))
