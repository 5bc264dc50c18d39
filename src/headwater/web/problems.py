"""Failures before the first byte, as RFC 9457 problem JSON."""

import math
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute, APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from headwater.errors import HeadwaterError
from headwater.events import Error

Endpoint = Callable[..., Awaitable[Response]]


def event_of(error: HeadwaterError) -> Error:
    """The `error` event that says the same, for a response that has begun."""
    return Error(error.code, str(error), error.retryable, error.retry_after, error.status)


def problem(error: HeadwaterError | Error, headers: dict[str, str] | None = None) -> JSONResponse:
    """A failure as a response of its own: status, `Retry-After` when known, and why in words."""
    said = event_of(error) if isinstance(error, HeadwaterError) else error
    try:
        title = HTTPStatus(said.status).phrase
    except ValueError:
        title = "Error"
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": said.status,
        "detail": said.message,
        "code": said.code,
        "retryable": said.retryable,
    }
    headers = {**(headers or {}), "Cache-Control": "no-store"}
    if said.retry_after is not None:
        body["retry_after"] = said.retry_after
        headers["Retry-After"] = str(math.ceil(said.retry_after))
    return JSONResponse(body, said.status, headers, media_type="application/problem+json")


def refused(error: HTTPException) -> JSONResponse:
    """The same for a refusal in the words of the framework, such as that of whoever decides who may ask."""
    return problem(Error("http", str(error.detail), status=error.status_code), dict(error.headers or {}))


def not_allowed(method: str, allow: str) -> JSONResponse:
    """The same for a method that a path has not."""
    said = Error("method_not_allowed", f"{method[:20]} is not for this path; use {allow}", status=405)
    return problem(said, {"Allow": allow})


class ProblemRoute(APIRoute):
    """A route that tells our errors as problem JSON, in whatever app it is included, without a handler there.

    So are refusals by whoever decides who may ask; those of the app's own dependencies are left to the app.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, _told(endpoint), **options)


class DirectRoute(ProblemRoute):
    """The same for an app that is all our own: the endpoint is called as it is, with the request and the path's parts.

    What FastAPI puts around an endpoint, for dependencies that these do not have, costs as much as a stored answer.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self.endpoint(request, **request.path_params)
        await response(scope, receive, send)


class Others:
    """Answers the methods that none of a path's routes has: 405, and which ones there are."""

    def __init__(self, methods: Iterable[str]) -> None:
        self._allow = ", ".join(sorted(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await not_allowed(scope["method"], self._allow)(scope, receive, send)


def closed(router: APIRouter) -> APIRouter:
    """The router with an answer to every method on its paths.

    Without, each route would name its own methods as the allowed ones, and a path's next best owner would be asked.
    """
    methods: dict[str, set[str]] = {}
    for route in router.routes:
        if isinstance(route, Route):
            methods.setdefault(route.path, set()).update(route.methods or ())
    for path, allowed in methods.items():
        router.add_route(path, Others(allowed), include_in_schema=False)  # pyright: ignore[reportArgumentType]
    return router


def _told(endpoint: Endpoint) -> Endpoint:
    @wraps(endpoint)
    async def told(*args: Any, **kwargs: Any) -> Response:
        try:
            return await endpoint(*args, **kwargs)
        except HeadwaterError as error:
            return problem(error)
        except HTTPException as error:
            return refused(error)

    return told
