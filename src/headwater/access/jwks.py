"""The published keys of an identity provider (JWKS), kept in memory and fetched anew when they are old or unknown."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import httpx
import msgspec

from headwater.access.refusals import KeysUnavailable

logger = logging.getLogger(__name__)

FRESH = 300.0
"""Seconds after which the keys are fetched again. Those of before stay valid meanwhile, and for as long again at most,
unless the provider is down: so a withdrawn key ends."""
PAUSE = 10.0
"""Seconds between two fetches at least, however many tokens name a key that is not known."""
LIMIT, LARGEST = 5.0, 256 * 1024
"""Seconds and bytes that a fetch may take."""
_KINDS = ("RSA", "EC", "OKP")
"""Public keys; a shared secret has no place among published ones."""

Keys = Mapping[str, Mapping[str, Any]]
"""JSON Web Keys by their id."""


async def fetch(url: str) -> bytes:
    """The document at a URL. Raises `httpx.HTTPError`, `TimeoutError`, or `ValueError` for one that is too large."""
    read = bytearray()
    async with (
        asyncio.timeout(LIMIT),
        httpx.AsyncClient() as client,
        client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
    ):
        if response.status_code != 200:  # a redirect might lead anywhere
            raise ValueError(f"it answered {response.status_code}")
        async for piece in response.aiter_bytes():
            read += piece
            if len(read) > LARGEST:
                raise ValueError(f"it sent more than {LARGEST} bytes")
    return bytes(read)


class Jwks:
    """The keys that a URL publishes. While it cannot be read, those of before stay valid."""

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.monotonic,
        get: Callable[[str], Awaitable[bytes]] = fetch,
    ) -> None:
        self._url = url
        self._clock = clock
        self._get = get
        self._keys: Keys = {}
        self._old_at = self._next = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> Keys:
        """The keys that are known; another object when they have changed.

        Old ones are fetched again meanwhile. For those that nobody has looked at for long, the fetch is waited for.
        """
        now = self._clock()
        if now >= self._old_at:
            self._refresh()
            if self._fetching is not None and now >= self._old_at + FRESH:
                await asyncio.shield(self._fetching)
        return self._keys

    async def find(self, id: str | None) -> Mapping[str, Any] | None:
        """The key of an id; of a token that names none, the only key there is. Raises `KeysUnavailable`."""
        found = _of(await self.current(), id)
        if found is None:
            self._refresh()
            if self._fetching is not None:
                await asyncio.shield(self._fetching)
            if not self._keys:
                raise KeysUnavailable(f"no key is known from {self._url}")
            found = _of(self._keys, id)
        return found

    def _refresh(self) -> None:
        now = self._clock()
        if self._fetching is None and now >= self._next:
            self._next = now + PAUSE
            self._fetching = asyncio.create_task(self._fetch(), name="jwks")  # ends by itself, within LIMIT

    async def _fetch(self) -> None:
        try:
            keys = _read(await self._get(self._url))
            self._old_at = self._clock() + FRESH
            if keys != self._keys:
                self._keys = keys
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as error:
            self._old_at = self._clock()  # an outage is waited for once in a while, and not by everybody
            known = "the known ones stay valid" if self._keys else "no token can be verified"
            logger.warning("keys cannot be read from %s (%s); %s", self._url, error or type(error).__name__, known)
        finally:
            self._fetching = None


def _of(keys: Keys, id: str | None) -> Mapping[str, Any] | None:
    if id is None:
        return next(iter(keys.values())) if len(keys) == 1 else None
    return keys.get(id)


def _read(document: bytes) -> Keys:
    """The keys for signatures in a document. Raises `ValueError`."""
    try:
        found = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
    except msgspec.MsgspecError as error:
        raise ValueError(f"it sent no JSON object: {error}") from error
    listed = cast("list[Any]", found) if isinstance(found, list) else []
    objects = [cast("dict[str, Any]", key) for key in listed if isinstance(key, dict)]
    usable = [key for key in objects if key.get("kty") in _KINDS and key.get("use", "sig") == "sig"]
    keys = {str(key.get("kid", place)): key for place, key in enumerate(usable)}
    if not keys:
        raise ValueError("it names no public key for signatures")
    return keys
