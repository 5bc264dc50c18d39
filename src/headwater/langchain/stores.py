"""The store of a cache: by its URL, or an object of the caller's."""

from collections.abc import Callable
from typing import Any

from headwater.log.store import Store
from headwater.settings import Settings
from headwater.wiring.stores import open_store


def opened(store: str | Store | None, ttl: float | None) -> tuple[Settings, Callable[[], Store]]:
    """The settings, and what opens the store; none stands for the store that the settings name.

    Raises `Unsupported` for a store that does not exist.
    """
    own = None if isinstance(store, str) else store
    given: dict[str, Any] = {"store": store if own is None else None, "cache_ttl": ttl}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    if own is not None:
        return settings, lambda: own
    open_store(settings)  # connects nothing, and names a mistake now
    return settings, lambda: open_store(settings)
