"""Failures before the first byte, as responses."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from fastapi.routing import APIRoute, APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from headwater.dialects.dialect import Refusal
from headwater.dialects.problem import problem
from headwater.errors import HeadwaterError, StoreError
from headwater.events import Error, error_event, unforeseen
from headwater.web.capacity import ServerFull
from headwater.web.visitors import admitted

logger = logging.getLogger(__name__)

Endpoint = Callable[..., Awaitable[Response]]
Refuse = Callable[[Error], Refusal]
"""A dialect's form of a failure before the first byte."""
RefusalAt = Callable[[str], Refuse]
"""The form that the clients of a path read."""


def respond(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """A dialect's refusal as a response, with further headers."""
    return Response(refusal.body, refusal.status, {**(headers or {}), **refusal.headers}, refusal.media_type)


def refused(
    error: HeadwaterError | HTTPException, refuse: Refuse = problem, request: Request | None = None
) -> Response:
    """An error as a response. An `HTTPException`, as the caller's own `principal` may raise it, keeps its headers.

    What a store said goes to the log, with the path of the `request`, which names its stream.
    """
    if isinstance(error, HTTPException):
        detail: Any = error.detail  # the app's own words, or an object of its own
        event = Error("http", detail if isinstance(detail, str) else "Refused.", status=error.status_code)
        return respond(refuse(event), error.headers)
    if isinstance(error, StoreError):
        logger.warning("%r failed: %s", "a request" if request is None else request.scope["path"], error)
    # A client that keeps its connection would keep a file of the server, too.
    headers = {"Connection": "close"} if isinstance(error, ServerFull) else error.fields
    return respond(refuse(error_event(error)), headers)


def not_allowed(method: str, allow: str, refuse: Refuse = problem) -> Response:
    """405 Method Not Allowed, with the methods that the path supports."""
    event = Error("method_not_allowed", f"{method[:20]} is not for this path; use {allow}.", status=405)
    return respond(refuse(event), {"Allow": allow})


class ProblemRoute(APIRoute):
    """A route that turns our errors into problem JSON, in whatever app it is included, without a handler there.

    Also converts `HTTPException`s raised by the `principal` callback; exceptions from the app's own dependencies are
    left to the app.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, _refusing(endpoint), **options)


class DirectRoute(ProblemRoute):
    """The same for an app that is all our own: the endpoint is called as it is, with the request.

    FastAPI's wrapper of an endpoint, for dependencies that these routes do not have, costs as much as a stored answer.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await self.endpoint(request)
        except Exception:  # a bug of ours: its traceback is for the log, and the client gets a response
            logger.exception("%s %s failed", scope["method"], scope["path"])
            response = respond(problem(unforeseen()))
        await response(scope, receive, send)


class Others:
    """Answers 405 to the methods that no route of a path supports."""

    def __init__(self, methods: Iterable[str], refusal_at: RefusalAt) -> None:
        self._allow = ", ".join(sorted(methods))
        self._refusal_at = refusal_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse = self._refusal_at(scope["path"])
        await not_allowed(scope["method"], self._allow, refuse)(scope, receive, send)


def closed(router: APIRouter, refusal_at: RefusalAt = lambda _: problem) -> APIRouter:
    """The router with a HEAD wherever there is a GET, and a 405 for every other method on its paths.

    Without the 405 each route would name its own methods as the allowed ones, and the next route that matches the path
    would be tried.
    """
    methods: dict[str, set[str]] = {}
    routes = [route for route in router.routes if isinstance(route, Route)]
    for route in routes:
        methods.setdefault(route.path, set()).update(route.methods or ())
    for route in routes:
        if "GET" in (route.methods or ()) and "HEAD" not in methods[route.path]:
            methods[route.path].add("HEAD")
            router.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
    for path, allowed in methods.items():
        router.add_route(path, Others(allowed, refusal_at), include_in_schema=False)  # pyright: ignore[reportArgumentType]
    return router


def _refusing(endpoint: Endpoint) -> Endpoint:
    @wraps(endpoint)
    async def refusing(*args: Any, **kwargs: Any) -> Response:
        request: Request | None = next(iter((*args, *kwargs.values())), None)
        try:
            response = await endpoint(*args, **kwargs)
        except (HeadwaterError, HTTPException) as error:
            response = refused(error, request=request)
        return response if request is None else admitted(request, response)

    return refusing
