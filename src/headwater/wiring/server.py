"""A whole server from its settings: what `headwater serve` runs, and the parts of a router."""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp

from headwater.answers.answers import Answers, Policy
from headwater.answers.claim import Caching
from headwater.answers.continuing import Continuing
from headwater.answers.generation import Timeouts
from headwater.answers.quota import Allowance, Quota
from headwater.errors import HeadwaterError
from headwater.log.memory import MemoryStore
from headwater.log.store import Store
from headwater.models.catalogue import Catalogue
from headwater.observe import Observer, Observers
from headwater.principal import Principal
from headwater.settings import Settings
from headwater.telemetry.metrics import Metrics
from headwater.version import VERSION
from headwater.web.app import create_app
from headwater.web.capacity import Capacity
from headwater.web.gate import PRINCIPAL, Access
from headwater.web.hosts import of_this_machine
from headwater.web.origin import Allowed
from headwater.web.replay import rate_of
from headwater.web.response import Pace
from headwater.web.routes.operator import look
from headwater.web.routes.server import About
from headwater.web.surface import Surface
from headwater.wiring.keys import keys_of, ways_of
from headwater.wiring.models import catalogue, choose, prices_of
from headwater.wiring.stores import open_store, stale_of

if TYPE_CHECKING:
    from headwater.webhooks.queue import Webhooks
    from headwater.wiring.traces import Tracing

logger = logging.getLogger(__name__)

LAST_SECONDS = 10.0
"""Time before the end of `HEADWATER_LIFETIME` in which an answer closes its provider and is stored: 5 s each."""

Identify = Callable[[Request], "Awaitable[Principal] | Principal"]
"""Returns the caller of a request."""


class Server(NamedTuple):
    """A whole server, ready to be run by an ASGI server."""

    app: FastAPI
    answers: Answers
    asgi: ASGIApp
    """The app in what stands around it."""


def server(settings: Settings, files: int | None = None) -> Server:
    """Everything that `headwater serve` runs; `files` is the process's limit on open files, None for no check."""
    choice = choose(settings)
    models = catalogue(settings, choice.model)
    metrics = Metrics()
    tracing, webhooks = tracing_of(settings), webhooks_of(settings)
    observers = [metrics, tracing and tracing.observer, webhooks]
    answers = answers_of(settings, models, [each for each in observers if each is not None])
    metrics.look = lambda: look(answers)
    answers.accompany(metrics.begin, metrics.end)
    if tracing is not None:
        answers.accompany(lambda: None, tracing.end)
    surface = surface_of(settings, answers, lambda request: request.scope[PRINCIPAL], webhooks)
    chats = [{"name": each.name, "images": each.images} for each in models.chats]
    about = About(VERSION, choice.model, choice.demo, choice.notice, chats, settings.max_body)
    app = create_app(
        surface._replace(capacity=surface.capacity.within(files), metrics=metrics),
        about,
        lifespan=lifespan_of(answers),
        allowed=Allowed(settings.origins, [settings.host, *settings.hosts, *of_this_machine()], settings.credentials),
        access=Access(keys_of(settings), answers.secret, ways_of(settings)),
        dialects=settings.dialects,
    )
    return Server(app, answers, tracing.around(app) if tracing else app)


def tracing_of(settings: Settings) -> "Tracing | None":
    """The traces that the settings ask for; without the extra, none: the variable may be there for other programs."""
    if not settings.otlp_endpoint:
        return None
    try:
        from headwater.wiring.traces import Tracing
    except ImportError:
        logger.warning("no traces are sent to OTEL_EXPORTER_OTLP_ENDPOINT: pip install 'headwater[otel]'")
        return None
    return Tracing(settings.otlp_endpoint)


def webhooks_of(settings: Settings) -> "Webhooks | None":
    """Who is told of the ends of answers, if anybody is."""
    if settings.webhook is None and not settings.webhook_hosts:
        return None
    from headwater.wiring.webhooks import webhooks  # an HTTP client, for which few servers need to wait

    return webhooks(settings)


def answers_of(
    settings: Settings, models: Catalogue, observers: Sequence[Observer] = (), store: Store | None = None
) -> Answers:
    """The one way in, under these settings; `store` is the caller's own, if there is one.

    Raises `Unsupported` for a store that does not exist.
    """
    # Opening connects nothing, and names a mistake in the settings now.
    outlives = not isinstance(open_store(settings) if store is None else store, MemoryStore)
    timeouts = Timeouts(
        first_token=settings.first_token_timeout,
        silence=settings.model_timeout,
        total=settings.total_timeout,
        lifetime=math.inf if settings.lifetime is None else settings.lifetime - LAST_SECONDS,
        retries=settings.retries,
    )
    secret = settings.secret.get_secret_value().encode() if settings.secret else b""
    mode = settings.continue_ if outlives or settings.continue_ == "off" else "provider"
    continuing = Continuing(mode, settings.continue_limit, tuple(settings.continue_by))
    caching = Caching(settings.cache_ttl, secret, stale_of(settings), settings.refresh, settings.match)
    policy = Policy(caching, timeouts, continuing, allowance_of(settings), settings.pins)
    models.prices = prices_of(settings)
    opener = (lambda: open_store(settings)) if store is None else (lambda: store)
    return Answers(opener, models, policy, Observers(observers), borrowed=store is not None)


def allowance_of(settings: Settings) -> Allowance:
    """What the settings allow to tenants and to a process."""
    usual = {name: getattr(settings, name) for name in Quota.__struct_fields__}
    quotas = {tenant: msgspec.convert({**usual, **own}, Quota, strict=False) for tenant, own in settings.limits.items()}
    return Allowance(Quota(**usual), quotas, settings.max_generations, settings.max_messages, settings.max_message)


def surface_of(settings: Settings, answers: Answers, identify: Identify, webhooks: "Webhooks | None" = None) -> Surface:
    """What the routes share, under these settings; `webhooks` are among the observers of the answers."""
    if webhooks is not None:
        webhooks.accompany(answers)

    async def principal(request: Request) -> Principal:
        found = identify(request)
        return found if isinstance(found, Principal) else await found

    rate, capacity = rate_of(settings.replay), Capacity(None, settings.streams, settings.streams_per_client)
    pace = Pace(heartbeat=settings.heartbeat)
    return Surface(answers, principal, pace, settings.max_body, capacity=capacity, replay=rate, webhooks=webhooks)


def lifespan_of(answers: Answers) -> Any:
    """What runs with the app: its start opens the store and builds the model, its end closes all that was opened."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        # Beside the start, so that neither the start nor the first request waits for a slow model.
        preparing = asyncio.create_task(_prepare(answers), name="prepare")
        try:
            yield
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
            await answers.aclose()

    return lifespan


async def _prepare(answers: Answers) -> None:
    try:
        await answers.prepare()
    except HeadwaterError as error:
        logger.error("NO QUESTION CAN BE ANSWERED YET. %s\n  In detail: %s", error.told, error)
