"""HTTP caching: `Cache-Control` in requests (RFC 9111, RFC 5861), `Cache-Status` in responses (RFC 9211). Pure."""

import math
from typing import NamedTuple

import msgspec

from headwater.errors import RequestError

_FAR = 10**9


class Directives(msgspec.Struct, frozen=True):
    """The `Cache-Control` directives of a request that have an effect here."""

    no_cache: bool = False
    """Generate a new answer, and store it."""
    no_store: bool = False
    """Generate a new answer, and bind it to no name: no later request finds it."""
    max_age: float | None = None
    """The greatest age of a stored answer that is accepted, in seconds since it was finished."""
    only_if_cached: bool = False
    """Answer from a stored or running log, or not at all."""
    exact: bool = False
    """Answer from a log of this very prompt only: `match=exact`, an extension directive (RFC 9111 §5.2.3)."""
    max_stale: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None


class Stale(NamedTuple):
    """For how many seconds past its TTL a stored answer will do, and on which condition."""

    accepted: float = 0.0
    """As it is (`max-stale`)."""
    renewed: float = 0.0
    """While it is generated anew in the background (`stale-while-revalidate`)."""
    instead: float = 0.0
    """In place of a new answer whose generation failed before its first output (`stale-if-error`)."""

    def within(self, directives: Directives) -> "Stale":
        """What a request accepts, where these are the operator's settings.

        A request that names a limit decides itself. One that names a `max-age` takes nothing stale that it does not
        ask for.
        """
        named = (directives.max_stale, directives.stale_while_revalidate, directives.stale_if_error)
        if directives.max_age is None and named == (None, None, None):
            return self
        default = Stale() if directives.max_age is not None else self
        return Stale(*(of if own is None else own for own, of in zip(named, default, strict=True)))


def parse(header: str | None) -> Directives:
    """Read a request's `Cache-Control`; unknown directives are ignored, as RFC 9111 §5.2.3 asks.

    `max-age=0` is `no-cache`, which is what browsers mean by it. `max-stale` alone stands for any age. Raises
    `RequestError` for a value that is not a number of seconds.
    """
    directives = (each.partition("=") for each in (header or "").split(","))
    found = {name.strip().lower(): value.strip().strip('"') if equals else None for name, equals, value in directives}
    if "max-stale" in found and found["max-stale"] is None:
        found["max-stale"] = str(_FAR)
    max_age, max_stale, while_revalidate, if_error = (
        _seconds(name, found[name]) if name in found else None
        for name in ("max-age", "max-stale", "stale-while-revalidate", "stale-if-error")
    )
    return Directives(
        no_cache="no-cache" in found or max_age == 0,
        no_store="no-store" in found,
        max_age=max_age,
        only_if_cached="only-if-cached" in found,
        exact=found.get("match") == "exact",
        max_stale=max_stale,
        stale_while_revalidate=while_revalidate,
        stale_if_error=if_error,
    )


def cache_status(won: bool, live: bool, ttl: float, *, fwd: str, detail: str = "", failed: int = 0) -> str:
    """The `Cache-Status` of an answer: `hit` from a finished log, `collapsed` into a running one, or forwarded.

    `failed` is the status of a generation in whose place a finished log is delivered.
    """
    if failed:
        status = f"headwater; fwd=stale; fwd-status={failed}"
    elif not won and not live:
        status = "headwater; hit" if ttl == math.inf else f"headwater; hit; ttl={math.floor(ttl)}"
    else:
        status = (
            f"headwater; fwd={fwd}" if won else f"headwater; fwd={'stale' if fwd == 'stale' else 'miss'}; collapsed"
        )
    return f"{status}; detail={detail}" if detail else status


def _seconds(name: str, value: str | None) -> float:
    if value is None or not value.isascii() or not value.isdigit():
        raise RequestError(f"Cache-Control: {name}={value} is not a number of seconds")
    return float(min(int(value[:12]), _FAR))
