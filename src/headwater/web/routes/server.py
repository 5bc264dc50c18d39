"""The server about itself: alive, ready, what it runs; and the page."""

from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from headwater.errors import HeadwaterError, RequestError, ShuttingDown
from headwater.web.parts import Parts
from headwater.web.problems import ProblemRoute, problem

STATIC = Path(__file__).parents[2] / "static"

CSP = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads nothing from elsewhere: a model's Markdown must not make the browser call an address of its choice."""

SAFE = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

UNBUILT = """<!doctype html><meta charset="utf-8"><title>Headwater</title>
<h1>Headwater is running</h1>
<p>The chat page was not built into this installation. Run <code>make page</code> in a checkout, or talk to the server:
<pre>curl -N -H 'Content-Type: application/json' -d '{"message": "Hello"}' http://127.0.0.1:8000/api/stream/completion</pre>
"""


class NoSuchPage(RequestError):
    """No page and no file is served at this path."""

    code = "not_found"
    status = 404


class About(NamedTuple):
    """What the page shows of the server."""

    version: str
    model: str
    demo: bool = False
    notice: str | None = None
    """A sentence that people must read, such as that the model is a demo."""


def server_routes(parts: Parts, about: About) -> APIRouter:
    """Liveness, readiness, and what the page needs to know."""
    router = APIRouter(route_class=ProblemRoute, tags=["server"])

    @router.get("/healthz")
    async def healthz() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The process is alive; restart it when this does not answer."""
        return JSONResponse({"status": "alive"}, headers={"Cache-Control": "no-store"})

    @router.get("/readyz", responses={503: {"description": "The store is down, or the server about to be"}})
    async def readyz() -> Response:  # pyright: ignore[reportUnusedFunction]
        """The store answers, so requests may be sent here; take the server out of rotation otherwise."""
        try:
            if parts.attacher.draining.begun:
                raise ShuttingDown("this server is shutting down")
            await parts.attacher.logs.store.constant("ready", b"1")
        except HeadwaterError as error:
            return problem(error)
        return JSONResponse({"status": "ready"}, headers={"Cache-Control": "no-store"})

    @router.get("/api/about")
    async def tell() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Which server this is and which model answers."""
        return JSONResponse({"name": "Headwater", **about._asdict()}, headers={"Cache-Control": "no-store"})

    return router


def page_routes(static: Path = STATIC) -> APIRouter:
    """The built chat page: its index fresh at every visit, its assets, whose names are hashes, for ever."""
    router = APIRouter(route_class=ProblemRoute, include_in_schema=False)

    @router.get("/")
    def index() -> Response:  # pyright: ignore[reportUnusedFunction]
        headers = {**SAFE, "Cache-Control": "no-cache"}
        if (static / "index.html").is_file():
            return FileResponse(static / "index.html", headers=headers)
        return HTMLResponse(UNBUILT, headers=headers)

    @router.get("/{path:path}")
    def asset(path: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        file = (static / path).resolve()
        if not file.is_file() or not file.is_relative_to(static.resolve()):
            return problem(NoSuchPage(f"there is nothing at /{path[:100]}"))
        for_ever = path.startswith("assets/")
        caching = "public, max-age=31536000, immutable" if for_ever else "no-cache"
        return FileResponse(file, headers={**SAFE, "Cache-Control": caching})

    return router
