"""Failures before the first byte, as RFC 9457 problem JSON."""

import math
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from headwater.errors import HeadwaterError
from headwater.events import Error


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


class ProblemRoute(APIRoute):
    """A route that tells our errors as problem JSON, in whatever app it is included, without a handler there."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except HeadwaterError as error:
                return problem(error)

        return told


class DirectRoute(ProblemRoute):
    """The same for an app that is all our own: the endpoint is called as it is, with the request and the path's parts.

    What FastAPI puts around an endpoint, for dependencies that these do not have, costs as much as a stored answer.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in self.methods:
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await self.endpoint(request, **request.path_params)
        except HeadwaterError as error:
            response = problem(error)
        except HTTPException as error:
            response = refused(error)
        await response(scope, receive, send)
