"""Settings → parts: the only file that names every backend and every model."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, FastAPI
from starlette.requests import Request

from headwater.errors import HeadwaterError
from headwater.generation.attach import Attacher, Caching
from headwater.generation.run import Timeouts
from headwater.log.logs import Logs
from headwater.log.memory import MemoryStore
from headwater.log.sqlite import SqliteStore
from headwater.log.store import Limits, Store
from headwater.models import local, openai, openai_wire
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.langchain import LangChainModel
from headwater.models.model import Model
from headwater.models.openai_connection import Account, Connections
from headwater.models.preflight import preflight
from headwater.models.scripted import Clock, Echo
from headwater.principal import ANYONE, Principal
from headwater.settings import Settings
from headwater.version import VERSION
from headwater.web.app import api, create_app
from headwater.web.origin import LOOPBACK
from headwater.web.parts import Parts
from headwater.web.response import Pace
from headwater.web.routes.chat import CLOCK
from headwater.web.routes.server import About

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "openai:gpt-4o-mini"
"""What an OpenAI key alone selects: cheap, quick, and served by most compatible servers under some alias."""

REDIS = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")

OF_NAMED_MODELS = frozenset(
    {"completion_model", "allowed_models"} | {name for name in Settings.model_fields if name.startswith("openai_")}
)
"""Settings that say which models there are and how to reach them."""

Ask = Callable[[Request], "Awaitable[Principal] | Principal"]


class Unsupported(HeadwaterError):
    """A setting names something this version does not have."""

    code = "settings"


class Choice(NamedTuple):
    """Which model answers, and what people must know about it."""

    model: str
    demo: bool = False
    notice: str | None = None


def choose(settings: Settings) -> Choice:
    """The model that the settings select: the one named, else OpenAI when there is a key, else the embedded one."""
    name = settings.model
    if name is None and (settings.openai_api_key is not None or settings.openai_base_url is not None):
        name = DEFAULT_MODEL
    if name == "echo":
        return Choice("echo", True, "The echo model only repeats what it is told.")
    if name not in (None, "local"):
        return Choice(name)
    unable = preflight()
    if unable is None:
        return Choice("local", True, local.NOTICE)
    return Choice("echo", True, f"The embedded model cannot run here ({unable}), so the echo model answers.")


def open_store(settings: Settings) -> Store:
    """The store that a URL names. Raises `Unsupported`."""
    limits = Limits(lease=settings.lease, heartbeat=min(5.0, settings.lease / 3))
    url = settings.store or _store_of_the_environment(settings)
    parsed = urlsplit(url)
    if url == "memory:":
        if settings.workers > 1:
            raise Unsupported("the store memory: is one process's own; name one that workers can share, or --workers 1")
        return MemoryStore(limits)
    if not url:
        return SqliteStore(settings.data_dir / "logs.sqlite", limits)
    if parsed.scheme == "sqlite":
        if not url.startswith("sqlite:///") or parsed.path.endswith("/"):
            raise Unsupported(f"{url!r} names no file; write the whole path, as in sqlite:///var/lib/headwater.sqlite")
        return SqliteStore(Path(unquote(parsed.path)), limits)
    if parsed.scheme in REDIS:
        from headwater.log.redis import RedisStore

        return RedisStore(url, limits)
    if url == "upstash:":
        from headwater.log.upstash import UpstashStore

        address, token = settings.upstash_redis_rest_url, settings.upstash_redis_rest_token
        if not address or token is None:
            raise Unsupported("the store upstash: needs UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN")
        return UpstashStore(address, token.get_secret_value(), limits)
    raise Unsupported(f"{parsed.scheme or url!r} is no store; use sqlite:///path, redis://…, upstash: or memory:")


def _store_of_the_environment(settings: Settings) -> str:
    """The store when none is named: what the environment of a host that provides one says, as in the original."""
    if settings.upstash_redis_rest_url and settings.upstash_redis_rest_token:
        return "upstash:"
    return settings.redis_url.get_secret_value() if settings.redis_url else ""


def describe_store(settings: Settings) -> str:
    """The store in a few words for people, without the password that its URL may hold."""
    url = settings.store or _store_of_the_environment(settings)
    if not url:
        return str(settings.data_dir / "logs.sqlite")
    parsed = urlsplit(url)
    return url if "@" not in parsed.netloc else f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}"


def catalogue(settings: Settings, chosen: str) -> Catalogue:
    """What may be asked for under these settings."""
    account = Account(
        settings.openai_base_url,
        settings.openai_api_key.get_secret_value() if settings.openai_api_key else None,
        settings.openai_headers(),
        settings.openai_proxy.get_secret_value() if settings.openai_proxy else None,
    )
    connections = Connections(account)  # one pool for all names, since callers may think of many

    def offer(name: str) -> Offer:
        if name == "echo":
            return Offer("echo", "echo", True, _ready(Echo()))
        if name == "local":
            return Offer("local", local.UPSTREAM, True, lambda: local.build(settings.data_dir))

        async def build() -> Model:
            if settings.openai_wire:
                return openai_wire.from_name(name, account, connections=connections)
            return openai.from_name(name, account)

        return Offer(name, settings.openai_base_url or "default", True, build)

    def more(name: str) -> Offer | None:
        provider = chosen.partition(":")[0]
        known = name in settings.allowed_models or ("*" in settings.allowed_models and name.startswith(f"{provider}:"))
        return offer(name) if known else None

    completion = offer(settings.completion_model) if settings.completion_model else None
    clock = Offer(CLOCK, CLOCK, False, _ready(Clock()))
    return Catalogue(offer(chosen), completion, also=[clock], more=more, close=connections.aclose)


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
    parts = _parts(settings, attach, lambda _: ANYONE)
    about = About(VERSION, choice.model, choice.demo, choice.notice)
    hosts = [*LOOPBACK, settings.host, *settings.hosts]
    app = create_app(parts, about, lifespan=_lifespan(attach, settings), origins=settings.origins, hosts=hosts)
    return Server(app, attach, choice, settings)


def router(
    model: "str | Runnable[Any, Any] | Model | None" = None,
    *,
    cache_as: str | None = None,
    store: str | None = None,
    principal: Ask | None = None,
    on_finish: Callable[[str], Awaitable[None]] | None = None,
    **settings: Any,
) -> APIRouter:
    """Headwater's routes for your own FastAPI app: `app.include_router(headwater.router(model=…))`.

    `model` is a LangChain name, `local`, `echo`, or any LangChain Runnable or LangGraph graph. A Runnable may have side
    effects, so its answers are replayed only when you name it, `cache_as="v3"`; change the name when you change it.
    `principal` tells who asks (default: everybody is one); tenants never share answers. `on_finish` is awaited with
    the log's id when an answer has ended. Any other setting can be given by its name, e.g. `cache_ttl=60`; the rest is
    read from the environment. Your app decides who may call the routes from where (`Origin`, `Host`, CORS).

    What is running ends with your app's lifespan, and its log says so. An app under `app.mount()` is not run with one:
    include the router in the outer app, or run the inner app's lifespan in the outer one's. Raises `Unsupported` for a
    setting that is none, or that a `model` of your own making leaves without effect.
    """
    named = model if isinstance(model, str) else None
    for setting in settings:
        if setting not in Settings.model_fields:
            raise Unsupported(f"there is no setting {setting}; docs/settings.md has them all")
        if setting in OF_NAMED_MODELS and model is not None and named is None:
            raise Unsupported(f"{setting} is for models that are named, and this one is an object of your own")
    given: dict[str, Any] = {"model": named, "store": store, **settings}
    chosen = Settings(**{setting: value for setting, value in given.items() if value is not None})
    if model is None or isinstance(model, str):
        models = catalogue(chosen, choose(chosen).model)
    else:
        clock = Offer(CLOCK, CLOCK, False, _ready(Clock()))
        models = Catalogue(_offer_of(model, cache_as), also=[clock])
    attach = attacher(chosen, models, on_finish)
    return api(_parts(chosen, attach, principal or (lambda _: ANYONE)), _lifespan(attach, chosen))


def _offer_of(model: "Runnable[Any, Any] | Model", cache_as: str | None) -> Offer:
    """What is on offer when the model is an object of the caller's own; it stays the caller's to close."""
    if hasattr(model, "stream") and not hasattr(model, "astream"):
        theirs = _Theirs(cast("Model", model))
        return Offer(theirs.name, cache_as or "", cache_as is not None, _ready(theirs))
    runnable = cast("Runnable[Any, Any]", model)
    name = runnable.get_name()
    through = LangChainModel(runnable, name)
    # Of the class, not of the object: a model that something is bound to passes on what its inner model has.
    direct = getattr(type(runnable), "direct", None)
    answers: Model = (direct and direct(runnable, through)) or through
    digest = hashlib.sha256(f"{name}\n{cache_as}".encode()).hexdigest()
    return Offer(name, digest, cache_as is not None, _ready(answers))


class _Theirs:
    """A caller's own model without its `aclose`, for a catalogue closes what it can."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self.stream = model.stream


def _ready(model: Model) -> Callable[[], Awaitable[Model]]:
    async def build() -> Model:
        return model

    return build


def _parts(settings: Settings, attach: Attacher, ask: Ask) -> Parts:
    async def principal(request: Request) -> Principal:
        told = ask(request)
        return await told if not isinstance(told, Principal) else told

    return Parts(attach, principal, Pace(heartbeat=settings.heartbeat), settings.max_body)


def _lifespan(attach: Attacher, settings: Settings) -> Any:
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
        prepare = getattr(model, "prepare", None)
        if prepare is not None:
            await prepare()
    except HeadwaterError as error:
        logger.warning("not ready yet: %s", error)
