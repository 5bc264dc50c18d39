"""Connections to an OpenAI-compatible address: a request is sent, the bytes of an answer arrive as the socket has them.

Nothing here retries, limits how long a provider may think, or knows the meaning of the bytes.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

from headwater.errors import ModelError
from headwater.models.openai.fields import Fields
from headwater.models.openai.proxy import proxy_for
from headwater.version import VERSION

if TYPE_CHECKING:
    import aiohttp

OPENAI = "https://api.openai.com/v1"
_OPENAI = re.compile(r"https://(\w+\.)?api\.openai\.com(/|$)", re.IGNORECASE)  # some regions have hosts of their own

MAX_REFUSAL = 64 * 1024
"""Bytes of an HTTP error's body after which no more of it is read."""


class Deadlines(NamedTuple):
    """Limits in seconds for everything but the answer itself, which the generation limits."""

    connect: float = 10.0
    """Connecting to the provider: far more than a healthy one needs, and short enough for a person to wait."""
    refusal: float = 5.0
    """Reading the body of an HTTP error: its status is known already, and somebody waits."""
    drain: float = 1.0
    """The end of the response after `[DONE]`; only then can the connection be used again."""


DEADLINES = Deadlines()


class Account(NamedTuple):
    """A provider's address and the credentials for it; by default OpenAI itself, without a key."""

    base_url: str | None = None
    api_key: str | None = None
    headers: Mapping[str, str] = {}
    """Sent with every request, such as the organisation and project that pay."""
    proxy: str | None = None
    """The address of a proxy; by default the environment's, as in OpenAI's own client."""

    leave_out: frozenset[str] = frozenset()
    """Fields of a request's body that this provider does not take, such as `stream_options`."""
    prefill: Sequence[str] = ()
    """How the models go on with an answer: `headwater.models.prefill.of_setting` reads it."""
    keeps: bool = True
    """Whether the provider may keep runs for some minutes, so that one can come back to them."""

    @property
    def address(self) -> str:
        """The address that the API's paths are appended to."""
        return (self.base_url or OPENAI).strip().rstrip("/")

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI itself, and no compatible server."""
        return _OPENAI.match(self.address) is not None

    @property
    def secrets(self) -> list[str]:
        """The texts that must not appear in any message."""
        return [secret for secret in (self.key, self.proxy) if secret]

    @property
    def key(self) -> str | None:
        """The API key, without the line break or blanks that a file or the clipboard may have put around it."""
        return (self.api_key or "").strip() or None

    def check(self) -> None:
        """Raise `ModelError` if the key cannot be a key: as a header it would fail in words that explain nothing."""
        if self.key is not None and not re.fullmatch(r"[!-~]+", self.key):
            message = "the API key has a line break, a blank or another character that no key has; copy it anew"
            raise ModelError(message, code="model_unavailable", status=503)


class Connections:
    """A provider's connections, kept for the next answer; every event loop has its own, which are closed with it."""

    def __init__(self, account: Account, deadlines: Deadlines = DEADLINES) -> None:
        self._account = account
        self._deadlines = deadlines
        self.fields = Fields(account.is_openai, account.leave_out)
        """Which fields of a request the provider takes."""
        self.secrets = account.secrets
        self._opened: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[AsyncGenerator[aiohttp.ClientSession, None], aiohttp.ClientSession]
        ] = WeakKeyDictionary()

    async def post(self, path: str, data: bytes) -> "aiohttp.ClientResponse":
        """Send a request with the account's headers; returns once the response's head has arrived."""
        return await self.request("POST", self._account.address + path, data=data)

    async def request(self, method: str, url: str, **options: Any) -> "aiohttp.ClientResponse":
        """Send any request; `headers` among the `options` replace the account's.

        A redirect is followed only if it keeps the method, the body and the host. Otherwise the prompt and the key
        would reach somebody else, or nobody: raises `ModelError`.
        """
        import aiohttp

        session, moves, again = await self.session(), 0, False
        while True:
            try:
                response = await session.request(method, url, allow_redirects=False, **options)
            except aiohttp.ClientOSError as failure:
                if again or not isinstance(failure.__cause__, aiohttp.ClientConnectionResetError):
                    raise
                again = True  # nothing was sent: llama.cpp closes every connection that it says it keeps
                continue
            if response.status not in _MOVED:
                return response
            place, moves = urljoin(url, response.headers.get("Location", "")), moves + 1
            response.close()
            if response.status not in _KEEPS_METHOD or not _is_same_host(url, place) or moves > _MOVES:
                break
            url = place
        moved, status = urlsplit(place), response.status
        message = f"the provider's address answers with a redirect ({status}) to {moved.scheme}://{moved.hostname}"
        todo = "set OPENAI_BASE_URL to where it has moved"
        told = f"the provider's address answers with a redirect. Whoever runs the server must {todo}"
        raise ModelError(f"{message}{moved.path}: {todo}", code="provider_moved", told=told)

    async def refusal(self, response: "aiohttp.ClientResponse") -> bytes:
        """The body of an HTTP error, its first 64 kB at least; a part of one that breaks off or does not end."""
        import aiohttp

        body = bytearray()
        # The status is known already; a failure to read its explanation must not replace it by another error.
        with suppress(aiohttp.ClientError, OSError):
            async with asyncio.timeout(self._deadlines.refusal):
                while len(body) < MAX_REFUSAL and (data := await read(response.content)):
                    body += data
        return bytes(body)

    def release(self, response: "aiohttp.ClientResponse", done: bool) -> None:
        """Keep the connection of a whole answer for the next one; close any other at once, so that nobody pays for it.

        `done` tells whether the provider said that nothing follows.
        """
        if response.content.at_eof():
            response.release()
        elif done:
            task = asyncio.create_task(_drain(response, self._deadlines.drain), name="drain a provider's response")
            _draining.add(task)
            task.add_done_callback(_draining.discard)
        else:
            response.close()

    async def session(self) -> "aiohttp.ClientSession":
        """The running loop's own connections, opened at the first use."""
        loop = asyncio.get_running_loop()
        found = self._opened.get(loop)
        if found is None or found[1].closed:
            opening = _session(self._account, self._deadlines.connect)
            found = self._opened[loop] = (opening, await anext(opening))
        return found[1]

    async def aclose(self) -> None:
        """Close the running loop's connections; a later use opens new ones."""
        found = self._opened.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found[0].aclose()


async def _session(account: Account, connect: float) -> "AsyncGenerator[aiohttp.ClientSession, None]":
    """Connections that end with this generator.

    A generator, because asyncio closes generators that nobody references any more, and the rest when a loop shuts
    down. This closes connections even for LangChain models, which have no close hook.
    """
    import aiohttp

    account.check()
    headers = {
        "Authorization": f"Bearer {account.key or 'none'}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # a compressor on the way would hold tokens back
        "User-Agent": f"headwater/{VERSION}",
        **account.headers,
    }
    # No limit on connections: each open answer holds one, and a queue for them would look like a silent model.
    tls: Any = _trust() if account.address.startswith("https") else True
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy_for(account.address, account.proxy),
    )
    _sessions.add(session)
    try:
        yield session
    finally:
        await session.close()
        _sessions.discard(session)


# Strong references, or aiohttp warns about an unclosed session before the generator's `finally` has run.
_sessions: "set[aiohttp.ClientSession]" = set()
_draining: set["asyncio.Task[None]"] = set()  # strong references: the event loop keeps only weak ones to its tasks


def _trust() -> ssl.SSLContext:
    """The system's certificates, or certifi's for a Python without any."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


async def read(content: "aiohttp.StreamReader") -> bytes:
    """All bytes that have arrived since the last read; empty at the end."""
    try:
        return await content.readany()
    except Exception:
        # What arrived before is part of the answer, and buffered behind the exception, which the next read raises.
        buffered: Any = getattr(content, "_buffer", None)
        data = b"".join(buffered or ())
        if not data:
            raise
        buffered.clear()
        return data


def _is_same_host(url: str, place: str) -> bool:
    """Whether a redirect stays at the provider; from HTTP to HTTPS it does."""
    before, after = urlsplit(url), urlsplit(place)
    if before.hostname != after.hostname:
        return False
    upgrade = (before.scheme, after.scheme) == ("http", "https") and {before.port, after.port} <= {None, 80, 443}
    return upgrade or (before.scheme, before.port) == (after.scheme, after.port)


_MOVES = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_KEEPS_METHOD = frozenset({307, 308})


class Grace:
    """Reads what may follow a provider's reason to end: token counts and `[DONE]`, within a second or two.

    The answer is whole by then. A silence or a connection that breaks is the same as an orderly end.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._until: float | None = None

    async def read(self, content: "aiohttp.StreamReader") -> bytes:
        """The next bytes; none at the end, however that comes."""
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._until):
                return await read(content)
        except Exception:  # noqa: BLE001 - of no concern to a whole answer
            return b""


async def _drain(response: "aiohttp.ClientResponse", limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            while await response.content.readany():
                pass
        response.release()
    except Exception:  # noqa: BLE001 - the answer is whole; no failure of its connection concerns anybody now
        response.close()
    finally:
        if not response.closed and not response.content.at_eof():
            response.close()
