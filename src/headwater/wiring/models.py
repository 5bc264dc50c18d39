"""The models that the settings select: which one answers, and which ones a request may name."""

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from headwater.models import by_name
from headwater.models.catalogue import Catalogue, Offer
from headwater.models.embedded import offer as embedded
from headwater.models.embedded.preflight import preflight
from headwater.models.langchain.model import LangChainModel, Streams, is_model, sends_extra, unkeyed
from headwater.models.model import Direct, Model
from headwater.models.openai.connection import Account, Connections
from headwater.models.openai.names import meaning
from headwater.models.openai.proxy import proxy_for
from headwater.models.prefill import of_setting
from headwater.models.prices import Prices, read_prices
from headwater.models.scripted import Echo
from headwater.models.think_tags import ThinkTags
from headwater.settings import Settings

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

DEFAULT_MODEL = "openai:gpt-4o-mini"
"""What an OpenAI key alone selects: cheap, quick, and served by most compatible servers under some alias."""


class Choice(NamedTuple):
    """Which model answers, and what its users must know about it."""

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
        return Choice("local", True, embedded.NOTICE)
    return Choice("echo", True, f"The embedded model cannot run here ({unable}), so the echo model answers.")


def catalogue(settings: Settings, chosen: str) -> Catalogue:
    """The models that requests may name under these settings. Raises `Unsupported` for a proxy that cannot work."""
    account = Account(
        settings.openai_base_url,
        settings.openai_api_key.get_secret_value() if settings.openai_api_key else None,
        settings.openai_headers(),
        settings.openai_proxy.get_secret_value() if settings.openai_proxy else None,
        frozenset(settings.openai_leave_out),
        tuple(settings.prefill),
        settings.continue_ != "off" and "reattach" in settings.continue_by,
    )
    if meaning(chosen) is not None:
        proxy_for(account.address, account.proxy)  # refuses one that does not work, at the start
    connections = Connections(account)  # one pool for all names, since requests may name many

    def offer(name: str) -> Offer:
        if name == "echo":
            return Offer("echo", "echo", True, _ready(Echo()), sends_extra=False, images=False)
        if name == "local":
            build_local = partial(embedded.build, settings.data_dir, of_setting(settings.prefill, "local"))
            return Offer("local", embedded.UPSTREAM, True, build_local, sends_extra=False, images=False)

        api = (meaning(name) or ("",))[0]

        async def build() -> Model:
            if settings.openai_wire or api == "responses":
                model = by_name.from_name(name, account, connections=connections)
            else:
                model = by_name.through_langchain(name, account)
            return ThinkTags(model) if settings.think_tags and api != "responses" else model

        upstream = (settings.openai_base_url or "default") + ("#think-tags" if settings.think_tags else "")
        keyed = _derives(settings, account if api in ("chat", "responses") else None)
        return Offer(name, upstream, True, build, by_name.sends_extra(name), keyed)

    def more(name: str) -> Offer | None:
        provider = chosen.partition(":")[0]
        known = "*" in settings.allowed_models and name.startswith(f"{provider}:")
        return offer(name) if known else None

    completion = offer(settings.completion_model) if settings.completion_model else None
    also = [offer(name) for name in settings.allowed_models if name != "*"]
    models = Catalogue(offer(chosen), completion, also=also, more=more, close=connections.aclose)
    models.fallbacks = [offer(name) for name in settings.fallback]
    return models


def catalogue_of(settings: Settings, model: "Runnable[Any, Any] | Model", cache_as: str | None) -> Catalogue:
    """The catalogue of one model that is an object of the caller's own."""
    return Catalogue(_offer_of(settings, model, cache_as))


def prices_of(settings: Settings) -> Prices:
    """What answers cost. Raises `Unsupported` for a price file that cannot be read."""
    return Prices(read_prices(settings.prices) if settings.prices else {}, settings.openai_base_url)


def _derives(settings: Settings, account: Account | None) -> bool:
    """Whether a `prompt_cache_key` is derived for the chat API of this account; None stands for another API."""
    choice = settings.prompt_cache_key
    return account is not None and (choice == "on" or (choice == "auto" and account.is_openai))


def _offer_of(settings: Settings, model: "Runnable[Any, Any] | Model", cache_as: str | None) -> Offer:
    """The offer of an object of the caller's own, who also closes it."""
    if not isinstance(model, Streams):
        return Offer(model.name, cache_as or "", cache_as is not None, _ready(model), borrowed=True)
    name = model.get_name()
    through = LangChainModel(model, name, prefill=of_setting(settings.prefill, name))
    # Tested on the class, not on the object: `model.bind(…)` passes on the attributes of the model within.
    direct = cast("Direct", model).direct(through) if issubclass(type(model), Direct) else None
    digest = hashlib.sha256(f"{name}\n{cache_as}".encode()).hexdigest()
    keyed = _derives(settings, unkeyed(model))
    offered = Offer(name, digest, cache_as is not None, _ready(direct or through), sends_extra(model), keyed)
    return offered._replace(continuable=is_model(model))


def _ready(model: Model) -> Callable[[], Awaitable[Model]]:
    async def build() -> Model:
        return model

    return build
