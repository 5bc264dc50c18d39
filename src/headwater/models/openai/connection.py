"""Connections to an OpenAI-compatible address: a request goes out, an answer's bytes come in as the socket gives them.

Nothing here retries, limits how long a provider may think, or knows what the bytes mean.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

from headwater.version import VERSION

if TYPE_CHECKING:
    import aiohttp

OPENAI = "https://api.openai.com/v1"

CONNECT_TIMEOUT = 10.0
"""Seconds for reaching a provider: far more than any healthy one takes, and short enough for a person to wait."""

REFUSING = 5.0
"""Seconds a provider may take to say why it refuses: it has refused already, and somebody waits."""

DRAINING = 1.0
"""Seconds a provider may take to end its response after `[DONE]`, so that its connection can be used again."""


class Account(NamedTuple):
    """Where a provider is, and as whom it is spoken to; by default OpenAI itself."""

    base_url: str | None = None
    api_key: str | None = None
    headers: Mapping[str, str] = {}
    """Sent with every request, such as the organisation and project that pay."""
    proxy: str | None = None
    """The address of a proxy; without one those of the environment are taken, as OpenAI's own client does."""

    @property
    def address(self) -> str:
        """The address that the API's paths are appended to."""
        return (self.base_url or OPENAI).rstrip("/")

    @property
    def secrets(self) -> list[str]:
        """What must not show in any message."""
        return [secret for secret in (self.api_key, self.proxy) if secret]


class Connections:
    """A provider's connections, kept for the next answer; those of each event loop apart, and closed with it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._opened: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[AsyncGenerator[aiohttp.ClientSession, None], aiohttp.ClientSession]
        ] = WeakKeyDictionary()

    async def post(self, path: str, data: bytes) -> "aiohttp.ClientResponse":
        """Ask as the account; the answer's head has come when this returns."""
        return await (await self.session()).post(self._account.address + path, data=data)

    async def carry(self, method: str, url: str, data: bytes, headers: Mapping[str, str], timeout: Any) -> Any:
        """Send what another client wrote, which follows redirects by itself; its headers take the account's place."""
        session = await self.session()
        return await session.request(method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False)

    async def session(self) -> "aiohttp.ClientSession":
        """The running loop's own connections, opened when first asked for."""
        loop = asyncio.get_running_loop()
        found = self._opened.get(loop)
        if found is None or found[1].closed:
            opening = _session(self._account)
            found = self._opened[loop] = (opening, await anext(opening))
        return found[1]

    async def aclose(self) -> None:
        """Close the running loop's connections; a later use opens new ones."""
        found = self._opened.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found[0].aclose()


async def _session(account: Account) -> "AsyncGenerator[aiohttp.ClientSession, None]":
    """Connections that end with this generator.

    It is one because event loops close their generators before they end, and also those that nobody refers to any
    more: so connections are closed also where nobody has a place to do it, as in LangChain's models.
    """
    import aiohttp

    headers = {
        "Authorization": f"Bearer {account.api_key or 'none'}",
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
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=account.proxy or _proxy(account.address),
    )
    _held.add(session)
    try:
        yield session
    finally:
        await session.close()
        _held.discard(session)


# Found unreachable together with its generator, a session would complain that nobody had closed it, a moment too early.
_held: "set[aiohttp.ClientSession]" = set()


def _proxy(address: str) -> str | None:
    """The environment's proxy for an address.

    Looked up once: the library's own `trust_env` goes through two threads for every request, and takes a password
    from `.netrc` where there is one, which then collides with the key.
    """
    parsed = urlsplit(address)
    if proxy_bypass(parsed.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parsed.scheme) or proxies.get("all")


def _trust() -> ssl.SSLContext:
    """The system's certificates; those of certifi where a Python has none of its own."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


async def read(content: "aiohttp.StreamReader") -> bytes:
    """All that has come since the last look; empty at the end."""
    try:
        return await content.readany()
    except Exception:
        # What came before the connection broke is waiting behind the exception; it was said, so it is passed on, and
        # the next look raises.
        held: Any = getattr(content, "_buffer", None)
        if not held:
            raise
        data = b"".join(held)
        held.clear()
        return data


async def read_refusal(content: "aiohttp.StreamReader", most: int) -> bytes:
    """The body of an error, its first `most` bytes at least; what there is of one that breaks off or does not end."""
    import aiohttp

    said = bytearray()
    # The status has been told already; losing it over its explanation would make another error of it.
    with suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout(REFUSING):
            while len(said) < most and (data := await read(content)):
                said += data
    return bytes(said)


_draining: set["asyncio.Task[None]"] = set()  # the loop itself keeps no hold of its tasks


def let_go(response: "aiohttp.ClientResponse", done: bool) -> None:
    """Give the connection back when the answer is whole; close it at once when not, so that nobody pays for it."""
    if response.content.at_eof():
        response.release()
    elif done:
        task = asyncio.create_task(_drain(response))
        _draining.add(task)
        task.add_done_callback(_draining.discard)
    else:
        response.close()


async def _drain(response: "aiohttp.ClientResponse") -> None:
    try:
        async with asyncio.timeout(DRAINING):
            while await response.content.readany():
                pass
        response.release()
    except Exception:  # noqa: BLE001 - the answer is whole; whatever happens to the connection now is no failure
        response.close()
    finally:
        if not response.closed and not response.content.at_eof():
            response.close()
