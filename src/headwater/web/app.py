"""The surface as a FastAPI app of our own, or as a router in somebody else's."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from headwater.conversations.conversations import Conversations
from headwater.web.gate import Access, Gate
from headwater.web.origin import Allowed, OriginGuard
from headwater.web.place import LOGS, place
from headwater.web.problems import DirectRoute, Others, ProblemRoute, closed
from headwater.web.routes.conversation_files import add_cache_routes, add_file_routes
from headwater.web.routes.conversations import add_conversation_routes
from headwater.web.routes.doors import EVERY, add_doors, add_unknown, refusal_at
from headwater.web.routes.follow import add_follow_route
from headwater.web.routes.join import join_routes
from headwater.web.routes.login import login_routes
from headwater.web.routes.logs import add_log_routes
from headwater.web.routes.native import CHAT, add_native_routes
from headwater.web.routes.operator import operator_routes
from headwater.web.routes.pins import pin_routes
from headwater.web.routes.server import About, NoSuchPage, page_routes, server_routes
from headwater.web.routes.shared import add_share_routes
from headwater.web.surface import Personal, Surface

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Routes(APIRouter):
    """The routes, and what they share, for whoever adds routes of their own (`headwater.langchain.StreamCallback`)."""

    surface: Surface


def api(surface: Surface, lifespan: Lifespan | None = None, dialects: Sequence[str] = EVERY) -> Routes:
    """The routes that any app can include: they start and read answers. `lifespan` runs with that app's own.

    `dialects` names those whose routes are added beside our own; `*` stands for all.

    At the prefix they are included under, a problem says what is there, since people look for a page.
    """
    router = Routes(route_class=ProblemRoute, lifespan=lifespan, tags=["stream"])
    router.surface = surface
    _streams(router, surface, Conversations(surface.answers), dialects)
    router.add_api_route("/", _no_page, include_in_schema=False, route_class_override=PrefixRoute)
    return router


class PrefixRoute(ProblemRoute):
    """A route at the prefix of an included router; without a prefix, that path is the app's own."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        root = scope["path"].removeprefix(scope.get("root_path", "")) in ("", "/")
        return (Match.NONE, {}) if root else super().matches(scope)


async def _no_page(request: Request) -> Response:
    prefix = place(request).rstrip("/")
    what = f"there is no page here; POST {prefix}{CHAT} asks a model, and {prefix}{LOGS}/… has the answers"
    raise NoSuchPage(f"{what}. The chat page comes with `headwater serve`")


def create_app(
    surface: Surface,
    about: About,
    *,
    lifespan: Lifespan | None = None,
    allowed: Allowed = Allowed(),  # noqa: B008 - immutable
    access: Access | None = None,
    dialects: Sequence[str] = EVERY,
) -> FastAPI:
    """The whole server: routes, page, and the guards in front of them. With `access`, the scope has the principal."""
    conversations = Conversations(surface.answers)
    streams = _streams(APIRouter(route_class=DirectRoute, tags=["stream"]), surface, conversations, dialects).routes

    class App(FastAPI):
        def build_middleware_stack(self) -> ASGIApp:
            inner = StreamsFirst(super().build_middleware_stack(), self, streams)
            return OriginGuard(inner if access is None else Gate(inner, access, refusal_at), allowed, refusal_at)

    app = App(title="Headwater", version=about.version, lifespan=lifespan, docs_url=None, redoc_url=None)
    # Added without `include_router`, with which FastAPI would look for the route twice at every level.
    app.router.routes += streams
    add_unknown(app.router)
    app.router.add_route("/openapi.json", Others(["GET", "HEAD"], refusal_at), include_in_schema=False)  # pyright: ignore[reportArgumentType]
    needed = (lambda: access.required) if access is not None else (lambda: False)
    app.include_router(server_routes(surface.answers, about, needed))
    if surface.metrics is not None:
        app.include_router(operator_routes(surface.answers, surface.metrics))
    app.include_router(pin_routes(surface))
    if access is not None:
        app.router.routes += login_routes(access, surface)
    app.router.routes += join_routes(surface, conversations)
    app.router.routes += page_routes(answers=surface.answers)
    return app


class StreamsFirst:
    """ASGI middleware that calls the streaming routes directly, and leaves all other requests to the app.

    A stream passes every layer around its route, for each token. FastAPI has eight such layers, for exceptions and
    dependencies that these routes do not have. They took a sixth of a stored answer's time, and 4 kB of memory for each
    open stream.
    """

    def __init__(self, app: ASGIApp, owner: FastAPI, streams: Sequence[BaseRoute]) -> None:
        self._app = app
        self._owner = owner
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self._streams:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found, app=self._owner, router=self._owner.router)
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _streams(
    router: APIRouter, surface: Surface, conversations: Conversations, dialects: Sequence[str] = EVERY
) -> APIRouter:
    add_log_routes(router, surface)
    add_native_routes(router, surface)
    add_doors(router, surface, dialects)
    add_follow_route(router, surface)
    personal = Personal(*surface)
    add_conversation_routes(router, personal, conversations)
    add_file_routes(router, personal, conversations)
    add_cache_routes(router, personal, conversations)
    add_share_routes(router, personal, conversations)
    return closed(router, refusal_at)
