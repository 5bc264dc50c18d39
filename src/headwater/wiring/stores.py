"""The store that the settings select, by one URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from headwater.cache.policy import Stale
from headwater.errors import Unsupported
from headwater.log.memory import MemoryStore
from headwater.log.sqlite.store import SqliteStore
from headwater.log.store import Limits, Store
from headwater.settings import Settings

REDIS = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")


def open_store(settings: Settings) -> Store:
    """The store that a URL names; nothing is connected before its first use. Raises `Unsupported`."""
    limits = _limits(settings, Limits())
    url = url_of(settings)
    try:
        parsed = urlsplit(url, allow_fragments=False)
    except ValueError as error:  # the URL is not shown, since it may hold a password
        raise Unsupported(f"the URL of the store cannot be read: {error}") from error
    if url == "memory:":
        if settings.workers > 1:
            raise Unsupported("the store memory: is one process's own; name one that workers can share, or --workers 1")
        return MemoryStore(limits)
    if not url:
        return SqliteStore(settings.data_dir / "logs.sqlite", limits)
    if parsed.scheme == "sqlite":
        if not url.startswith("sqlite:///") or parsed.path.endswith("/"):
            raise Unsupported(
                f"the store {url} names no file; write the whole path, as in sqlite:///var/lib/headwater.sqlite"
            )
        return SqliteStore(Path(unquote(parsed.path)), limits)
    if parsed.scheme in REDIS:
        from headwater.log.redis.store import LIMITS, RedisStore

        return RedisStore(url, _limits(settings, LIMITS))
    if url == "upstash:":
        from headwater.log.upstash.store import UpstashStore

        address, token = settings.upstash_redis_rest_url, settings.upstash_redis_rest_token
        if not address or token is None:
            raise Unsupported("the store upstash: needs UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN")
        return UpstashStore(address, token.get_secret_value(), limits)
    raise Unsupported(f'"{parsed.scheme or url}" is not a store; use sqlite:///path, redis://…, upstash: or memory:')


def stale_of(settings: Settings) -> Stale:
    """How stale an answer may be under these settings."""
    return Stale(0.0, settings.stale_while_revalidate, settings.stale_if_error)


def _limits(settings: Settings, usual: Limits) -> Limits:
    """The bounds of a store, which are `usual` where the settings do not say otherwise."""
    # Stale answers are kept for as long as they may be delivered.
    grace = usual.grace + max(stale_of(settings))
    limits = msgspec.structs.replace(usual, bytes=settings.max_log, grace=grace)
    if (lease := settings.lease) is not None:
        limits = msgspec.structs.replace(limits, lease=lease, heartbeat=min(5.0, lease / 3))
    return limits


def describe_store(settings: Settings) -> str:
    """The store in a few words for people, without the password that its URL may hold."""
    url = url_of(settings)
    if not url:
        return str(settings.data_dir / "logs.sqlite")
    parsed = urlsplit(url)
    if parsed.scheme not in REDIS:
        return url
    return f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}"  # a query may have a password, too


def url_of(settings: Settings) -> str:
    """The store by its URL, which may hold a password; empty for SQLite in the data directory.

    When none is named: what the environment of a host that provides one says, as in the original.
    """
    if settings.store:
        return settings.store
    if settings.upstash_redis_rest_url and settings.upstash_redis_rest_token:
        return "upstash:"
    return settings.redis_url.get_secret_value() if settings.redis_url else ""
