"""HTTP caching: `Cache-Control` in requests (RFC 9111), `Cache-Status` in responses (RFC 9211). Pure."""

import re

import msgspec

from headwater.errors import RequestError

_TOKEN = re.compile(r'\s*([A-Za-z][A-Za-z0-9-]*)\s*(?:=\s*"?([^",]*?)"?\s*)?(?:,|$)')
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


def parse(header: str | None) -> Directives:
    """Read a request's `Cache-Control`; unknown directives are ignored, as RFC 9111 §5.2.3 asks.

    `max-age=0` is `no-cache`, which is what browsers mean by it. Raises `RequestError` for a `max-age` that is not a
    number of seconds.
    """
    found: dict[str, str | None] = {m[1].lower(): m[2] for m in _TOKEN.finditer(header or "")}
    max_age = _seconds(found["max-age"]) if "max-age" in found else None
    return Directives(
        no_cache="no-cache" in found or max_age == 0,
        no_store="no-store" in found,
        max_age=max_age,
        only_if_cached="only-if-cached" in found,
        exact=found.get("match") == "exact",
    )


def cache_status(*, won: bool, live: bool, ttl: float, fwd: str) -> str:
    """The `Cache-Status` of an answer: `hit` from a finished log, `collapsed` into a running one, or forwarded."""
    if not won and not live:
        return f"headwater; hit; ttl={int(ttl)}"
    return "headwater; fwd=miss; collapsed" if not won else f"headwater; fwd={fwd}"


def _seconds(value: str | None) -> float:
    if value is None or not value.isascii() or not value.isdigit():
        raise RequestError(f"Cache-Control: max-age={value} is not a number of seconds")
    return float(min(int(value[:12]), _FAR))
