"""Headwater's routes for somebody else's FastAPI app."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from headwater.answer import Answer
from headwater.errors import Unsupported
from headwater.observe import Observer, OnFinish
from headwater.principal import ANYONE
from headwater.settings import OF_TOKENS, Settings
from headwater.web.app import api
from headwater.wiring.models import catalogue, catalogue_of, choose
from headwater.wiring.server import Identify, answers_of, lifespan_of, surface_of, webhooks_of

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from headwater.log.store import Store
    from headwater.models.model import Model

OF_NAMED_MODELS = frozenset(
    {
        "completion_model",
        "allowed_models",
        "fallback",
        "think_tags",
        "openai_leave_out",
        "openai_wire",
        "openai_api_key",
        "openai_base_url",
        "openai_org_id",
        "openai_project_id",
        "openai_proxy",
    }
)
"""Settings of named models, which have no effect where the model is an object."""
OF_SERVE = frozenset({"api_keys", "keys_file", "operator_key", "forwarded_user", "forwarded_user_secret", *OF_TOKENS})
"""Settings that would look like a lock, and are none: an app knows its callers by `principal`."""


def router(
    model: "str | Runnable[Any, Any] | Model | None" = None,
    *,
    cache_as: str | None = None,
    store: "str | Store | None" = None,
    principal: Identify | None = None,
    on_finish: Callable[[Answer], Awaitable[None]] | None = None,
    observers: Sequence[Observer] = (),
    **settings: Any,
) -> APIRouter:
    """Headwater's routes for your own FastAPI app: `app.include_router(headwater.router(model=…))`.

    The routes are the API, `/api/stream…`, under the prefix of `include_router`; the chat page comes with `headwater
    serve` only, and a GET of the prefix says so.

    `model` is a LangChain name, `local`, `echo`, or any LangChain Runnable or LangGraph graph. A Runnable may have side
    effects, so its answers are replayed only when you name it, `cache_as="v3"`; change the name when you change it.
    `store` is a URL, or a store object, which stays yours to close. `principal` returns the caller of a request
    (default: all callers are one); tenants never share answers. `on_finish` is awaited with each `Answer` that has
    ended, whole or broken; `observers` are notified of everything else too. Any other setting can be given by its name,
    e.g. `cache_ttl=60` or `dialects=["openai"]`; the rest is read from the environment. Your app decides who may call
    the routes from where (`Origin`, `Host`, CORS).

    Running answers end with your app's lifespan, each with an error that says so. An app under `app.mount()` is not run
    with one: include the router in the outer app, or run the inner app's lifespan in the outer one's. Raises
    `Unsupported` for an unknown setting, or one that has no effect with a model object.
    """
    named = model if isinstance(model, str) else None
    for setting in settings:
        if setting not in Settings.model_fields:
            raise Unsupported(f"there is no setting {setting}; docs/settings.md has them all")
        if setting in OF_SERVE:
            raise Unsupported(f"{setting} is for headwater serve; an app says who calls by principal=")
        if setting in OF_NAMED_MODELS and model is not None and named is None:
            raise Unsupported(f"{setting} is for models that are named, and this one is an object of your own")
    own = None if isinstance(store, str) else store
    given: dict[str, Any] = {"model": named, "store": store if own is None else None, **settings}
    chosen = Settings(**{setting: value for setting, value in given.items() if value is not None})
    if model is None or isinstance(model, str):
        models = catalogue(chosen, choose(chosen).model)
    else:
        models = catalogue_of(chosen, model, cache_as)
    hooks, webhooks = [] if on_finish is None else [OnFinish(on_finish)], webhooks_of(chosen)
    answers = answers_of(chosen, models, [*observers, *hooks, *filter(None, [webhooks])], own)
    surface = surface_of(chosen, answers, principal or (lambda _: ANYONE), webhooks)
    return api(surface, lifespan_of(answers), chosen.dialects)
