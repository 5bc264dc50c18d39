"""The words of HTTP caching, as requests say them and responses answer: RFC 9111 and RFC 9211. Pure."""

import re

import msgspec

from headwater.errors import RequestError

_TOKEN = re.compile(r'\s*([A-Za-z][A-Za-z0-9-]*)\s*(?:=\s*"?([^",]*?)"?\s*)?(?:,|$)')
_FAR = 10**9


class Directives(msgspec.Struct, frozen=True):
    """What a request allows: the `Cache-Control` directives that mean something here."""

    no_cache: bool = False
    """Answer afresh; the new answer is kept."""
    no_store: bool = False
    """Answer afresh and bind the answer to nothing: no later request finds it."""
    max_age: float | None = None
    """Seconds since it was finished beyond which an answer will not do."""
    only_if_cached: bool = False
    """Answer from what is stored or running, or not at all."""


def parse(header: str | None) -> Directives:
    """Read a request's `Cache-Control`; unknown directives are ignored, as RFC 9111 §5.2.3 asks.

    `max-age=0` is `no-cache`, which is what browsers mean by it. Raises `RequestError` for a `max-age` that is not a
    number of seconds.
    """
    said: dict[str, str | None] = {m[1].lower(): m[2] for m in _TOKEN.finditer(header or "")}
    max_age = _seconds(said["max-age"]) if "max-age" in said else None
    return Directives(
        no_cache="no-cache" in said or max_age == 0,
        no_store="no-store" in said,
        max_age=max_age,
        only_if_cached="only-if-cached" in said,
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
