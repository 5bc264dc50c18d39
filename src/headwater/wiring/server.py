"""A whole server from its settings: what `headwater serve` runs, and what a router is made of."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.requests import Request

from headwater.answers.answers import Attacher, Caching
from headwater.answers.generation import Timeouts
from headwater.errors import HeadwaterError
from headwater.log.logs import Logs
from headwater.models.catalogue import Catalogue
from headwater.models.model import Prepares
from headwater.principal import ANYONE, Principal
from headwater.settings import Settings
from headwater.version import VERSION
from headwater.web.app import create_app
from headwater.web.origin import LOOPBACK
from headwater.web.parts import Parts
from headwater.web.response import Pace
from headwater.web.routes.server import About
from headwater.wiring.models import Choice, catalogue, choose
from headwater.wiring.stores import open_store

logger = logging.getLogger(__name__)

Ask = Callable[[Request], "Awaitable[Principal] | Principal"]
"""Tells who asks, from the request."""


def attacher(settings: Settings, models: Catalogue, on_finish: Callable[[str], Awaitable[None]] | None) -> Attacher:
    """The one way in, under these settings."""
    secret = settings.secret.get_secret_value().encode() if settings.secret else b""
    timeouts = Timeouts(
        first_token=settings.first_token_timeout,
        silence=settings.model_timeout,
        total=settings.total_timeout,
        retries=settings.retries,
    )
    caching = Caching(ttl=settings.cache_ttl, secret=secret)
    return Attacher(Logs(open_store(settings)), models, caching=caching, timeouts=timeouts, on_finish=on_finish)


class Server(NamedTuple):
    """A whole server, ready to be run by an ASGI server."""

    app: FastAPI
    attacher: Attacher
    choice: Choice
    settings: Settings


def server(settings: Settings) -> Server:
    """Everything that `headwater serve` runs."""
    choice = choose(settings)
    attach = attacher(settings, catalogue(settings, choice.model), None)
    parts = parts_of(settings, attach, lambda _: ANYONE)
    about = About(VERSION, choice.model, choice.demo, choice.notice)
    hosts = [*LOOPBACK, settings.host, *settings.hosts]
    app = create_app(parts, about, lifespan=lifespan_of(attach, settings), origins=settings.origins, hosts=hosts)
    return Server(app, attach, choice, settings)


def parts_of(settings: Settings, attach: Attacher, ask: Ask) -> Parts:
    """What the routes are made of."""

    async def principal(request: Request) -> Principal:
        told = ask(request)
        return await told if not isinstance(told, Principal) else told

    return Parts(attach, principal, Pace(heartbeat=settings.heartbeat), settings.max_body)


def lifespan_of(attach: Attacher, settings: Settings) -> Any:
    """What runs with the app: models warm up at its start, and everything is closed at its end."""
    closed = False

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        nonlocal closed
        if closed:
            # The same app again, as in tests: a store that was closed stays so, while models open themselves anew.
            attach.logs.store = open_store(settings)
            closed = False
        # The model is made ready beside the start, so that neither it nor the first request waits for the other.
        warm = asyncio.create_task(_warm(attach), name="warm")
        try:
            yield
        finally:
            warm.cancel()
            await asyncio.gather(warm, return_exceptions=True)
            await attach.aclose()
            await attach.logs.store.aclose()
            closed = True

    return lifespan


async def _warm(attach: Attacher) -> None:
    try:
        # The first call makes the store look for logs whose writers died with the last server, so that the first to
        # ask does not have to wait for their leases.
        await attach.logs.store.constant("ready", b"1")
        model = await attach.catalogue.get(attach.catalogue.chat)
        if isinstance(model, Prepares):
            await model.prepare()
    except HeadwaterError as error:
        logger.warning("not ready yet: %s", error)
