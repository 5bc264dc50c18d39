"""The routes of clients that speak another dialect than our own. A dialect is imported when somebody first asks in it.

Each file in `web/routes` that a door names exports `endpoints(surface)`, by method and path, and `refusal`, the form of
its failures.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headwater.dialects.dialect import Refusal
from headwater.dialects.problem import problem
from headwater.errors import HeadwaterError, Unsupported
from headwater.events import Error
from headwater.web.problems import Endpoint, Refuse, refused
from headwater.web.routes.native import parameter
from headwater.web.routes.server import NoSuchPage
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
    module: str
    """The module behind the door, in `web/routes`."""
    routes: Mapping[str, str]
    """What each route is for, by method and path."""
    prefixes: Sequence[str]
    """The paths at which failures have the dialect's form, unknown paths included."""

    def enter(self) -> Rooms:
        """Import the module behind the door."""
        return cast("Rooms", import_module(f"headwater.web.routes.{self.module}"))


DOORS: Sequence[Door] = (
    Door(
        "ag-ui",
        "agui",
        {
            "POST /agui": "Answer a run of a thread (AG-UI: CopilotKit, TanStack AI)",
            "GET /agui": "Join a run, `?runId=`, or look at a thread, `?threadId=`",
        },
        ("/agui",),
    ),
    Door(
        "anthropic",
        "anthropic",
        {
            "POST /v1/messages": "Answer a chat, in Anthropic's form",
            "POST /v1/messages/count_tokens": "How many tokens a chat has",
        },
        ("/v1/messages",),  # before the door whose prefix holds it
    ),
    Door(
        "responses",
        "responses",
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
        "openai",
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
        "vercel",
        {
            "POST /api/chat": "`useChat` of the Vercel AI SDK: start or join an answer",
            "GET /api/chat/{id}/stream": "Resume the run of a chat, or a run by its id from `?startIndex=` on",
            "POST /api/chat/{id}/stop": "Stop the run of a chat",
            "POST /api/completion": "`useCompletion` of the Vercel AI SDK",
        },
        ("/api/chat", "/api/completion"),
    ),
)

_IN = re.compile(r"{(\w+)")
_REFUSED: dict[int | str, dict[str, Any]] = {
    "default": {"description": "A refusal in the form that these clients read; 204 where nothing is left to resume"}
}

EVERY = ("*",)
"""Stands for all dialects."""


def add_doors(router: APIRouter, surface: Surface, dialects: Sequence[str] = EVERY) -> None:
    """Add the routes of these dialects. Raises `Unsupported` for the name of none."""
    known = {door.name for door in DOORS}
    for name in dialects:
        if name not in {*known, "*"}:
            raise Unsupported(f"there is no dialect {name!r}; there are {', '.join(sorted(known))}")
    for door in DOORS:
        if "*" in dialects or door.name in dialects:
            endpoint_of = _opened(door, surface)
            for route, summary in door.routes.items():
                method, _, path = route.partition(" ")
                endpoint, ids = endpoint_of(route), _IN.findall(path)
                router.add_api_route(
                    path,
                    endpoint,
                    methods=[method],
                    response_class=Response,
                    summary=summary,
                    tags=[door.name],
                    operation_id=route,
                    responses=_REFUSED,
                    openapi_extra={"parameters": [parameter(each, "path", "As a client has it") for each in ids]},
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


def _opened(door: Door, surface: Surface) -> Callable[[str], Endpoint]:
    """What gives the endpoint of a route; those behind the door are made when the first of them is called."""

    @cache
    def endpoints() -> Mapping[str, Endpoint]:
        return door.enter().endpoints(surface)

    def at(route: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                return await endpoints()[route](request)
            except (HeadwaterError, HTTPException) as error:
                return refused(error, door.enter().refusal, request)

        return endpoint

    return at


async def _unknown(request: Request) -> Response:
    path = request.scope["path"]
    return refused(NoSuchPage(f"there is no {request.method} {path[:100]} here"), refusal_at(path))
