"""Liveness, readiness, a description of the server, and the page."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from mimetypes import guess_type
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Receive, Scope, Send

from headwater.answers.answers import Answers
from headwater.dialects.problem import problem
from headwater.errors import HeadwaterError, RequestError, ShuttingDown, StoreError
from headwater.principal import ANYONE
from headwater.web.accept import codings, field
from headwater.web.gate import PRINCIPAL
from headwater.web.problems import ProblemRoute, closed, not_allowed, refused
from headwater.web.visitors import renewed

STATIC = Path(__file__).parents[2] / "static"

CSP = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page loads nothing from elsewhere: a model's Markdown must not make the browser call an address of its choice."""

DIAGRAM, DIAGRAM_CSP = "diagram.html", "sandbox allow-scripts; frame-ancestors 'self'"
"""Where the page draws diagrams: a document without an origin. Its own text forbids it every request."""

SAFE = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""The content codings of the files that the build has compressed, best first, and what their names end in."""

UNBUILT = """<!doctype html><meta charset="utf-8"><title>Headwater</title>
<h1>Headwater is running</h1>
<p>The chat page was not built into this installation. Run <code>make page</code> in a checkout, or talk to the server:
<pre>curl -N -H 'Content-Type: application/json' -d '{"message": "Hello"}' http://127.0.0.1:8000/api/stream/completion</pre>
"""


class NoSuchPage(RequestError):
    """No route, page or file has this path."""

    code = "not_found"
    status = 404


class About(NamedTuple):
    """The description of the server that the page shows."""

    version: str
    model: str
    demo: bool = False
    notice: str | None = None
    """A warning for people, such as that the model is a demo."""
    models: Sequence[Mapping[str, Any]] = ()
    """The `name` of each model that a chat may choose, and whether it takes `images`."""
    max_body: int = 0
    """Bytes of a request's body that are read at most."""


def server_routes(answers: Answers, about: About, keys: Callable[[], bool] = lambda: False) -> APIRouter:
    """Liveness, readiness, and what the page needs to know; `keys` says whether a request needs a key."""
    router = APIRouter(route_class=ProblemRoute, tags=["server"])

    @router.get("/healthz")
    async def healthz() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The process is alive; restart it when this does not answer."""
        return JSONResponse({"status": "alive"}, headers={"Cache-Control": "no-store"})

    @router.get("/readyz", responses={503: {"description": "The store is down, no model can be built, or it drains"}})
    async def readyz() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The store and the model work, so requests may be sent here; take the server out of rotation otherwise.

        A problem names the `part` that is not ready: `store`, `model`, or `drain` for a server that shuts down.
        """
        try:
            await answers.ready()
        except HeadwaterError as error:
            part = "drain" if isinstance(error, ShuttingDown) else "store" if isinstance(error, StoreError) else "model"
            return refused(error, lambda event: problem(event, part))
        return JSONResponse({"status": "ready"}, headers={"Cache-Control": "no-store"})

    @router.get("/api/about")
    async def describe() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Which server this is, which models answer, and why none can answer now, if that is so."""
        problem: str | None = None
        try:
            if answers.unprepared is not None:
                await answers.ready()
        except HeadwaterError as error:
            problem = error.told
        content = {"name": "Headwater", **about._asdict(), "keys": keys(), "problem": problem}
        return JSONResponse(content, headers={"Cache-Control": "no-store"})

    return closed(router)


def page_routes(static: Path = STATIC, answers: Answers | None = None) -> list[BaseRoute]:
    """The built chat page, at every path without another route; with `answers` it makes callers visitors."""
    return [Route("/{path:path}", Page(static, answers), include_in_schema=False)]


class Page:
    """The files of the page. The index is revalidated at every visit; assets, named by hash, are cached for ever.

    A text is sent as the build has compressed it (ui/page/compressed.ts), in the coding that the client prefers.
    A shared conversation has the same index, and nobody becomes a visitor by looking at it.
    """

    def __init__(self, static: Path, answers: Answers | None = None) -> None:
        self._static = static
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, path = Request(scope), scope["path_params"]["path"]
        response = await asyncio.to_thread(self._answer, request, path)
        if not path and self._answers is not None and scope.get(PRINCIPAL, ANYONE) == ANYONE:
            with suppress(StoreError):  # the page can say that the store is down
                response.headers["Set-Cookie"] = await renewed(request, self._answers)
                response.headers["Cache-Control"] = "private, no-cache"
        await response(scope, receive, send)

    def _answer(self, request: Request, path: str) -> Response:
        shared = path == "shared"
        file = self._file("index.html" if shared else path or "index.html")
        if file is None and path and not shared:
            return refused(NoSuchPage(f"there is nothing at /{path[:100]}"))
        if request.method not in ("GET", "HEAD"):
            return not_allowed(request.method, "GET, HEAD")
        for_ever = path.startswith("assets/")
        headers = {**SAFE, "Cache-Control": "public, max-age=31536000, immutable" if for_ever else "no-cache"}
        headers["Content-Security-Policy"] = DIAGRAM_CSP if path == DIAGRAM else CSP
        headers |= {"X-Robots-Tag": "noindex"} if shared else {}
        return HTMLResponse(UNBUILT, headers=headers) if file is None else _sent(request, file, headers)

    def _file(self, path: str) -> Path | None:
        try:
            file = (self._static / path).resolve()
            # What is compressed goes out under the name of what it was made from.
            served = file.is_file() and file.suffix not in SUFFIXES.values()
            return file if served and file.is_relative_to(self._static.resolve()) else None
        except (OSError, ValueError):  # no file can have the name: it is too long, or contains a NUL
            return None


def _sent(request: Request, file: Path, headers: dict[str, str]) -> Response:
    """The file in the client's preferred coding; 304 where the client has that already."""
    sent, headers = file, {**headers, "Vary": "Accept-Encoding"}
    for coding in codings(request, *SUFFIXES):
        made = file.with_name(file.name + SUFFIXES[coding])
        if made.is_file():
            sent, headers["Content-Encoding"] = made, coding
            break
    stat = sent.stat()
    headers["ETag"] = tag = _tag(sent, stat.st_mtime_ns)
    response = FileResponse(sent, headers=headers, media_type=guess_type(file.name)[0], stat_result=stat)
    known = [each.strip().removeprefix("W/") for each in field(request, "if-none-match").split(",")]
    return NotModifiedResponse(response.headers) if tag in known else response


@lru_cache(maxsize=64)
def _tag(file: Path, _changed: int) -> str:
    """The entity tag of a file's content: installers and images give one time to all files of every version."""
    return f'"{hashlib.sha256(file.read_bytes()).hexdigest()[:32]}"'
