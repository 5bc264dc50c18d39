"""A sender of webhooks: signs as Standard Webhooks says, and reaches no address that the operator does not mean.

A request may name any host that the operator allows. So the host's addresses are looked up here, a private one is
refused unless the operator has named this very host, and the connection goes to the address that was looked at.
Redirects are not followed, no proxy is used, and nothing of a response but its status is read.
"""

import base64
import errno
import hashlib
import hmac
import socket
import time
from collections.abc import Collection
from ipaddress import IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from headwater.errors import RequestError

WITHIN = aiohttp.ClientTimeout(total=10, connect=5)
AT_ONCE = 8
LONGEST_URL = 2048
_BASE64 = "whsec_"
_NAT64 = IPv6Network("64:ff9b::/96")


class WebhookRefused(RequestError):
    """The address that a request names is not one to which this server sends webhooks."""

    code = "webhook_refused"
    status = 422


class Sender:
    """Posts signed messages. `named` are the hosts that the operator has named; a pattern is `*` or `*.example.com`."""

    def __init__(self, secret: str, named: Collection[str], patterns: Collection[str] = ()) -> None:
        self._key = key_of(secret)
        self._named = frozenset(host.lower() for host in named)
        self._patterns = patterns
        self._session: aiohttp.ClientSession | None = None

    def check(self, url: str) -> str:
        """The address, if messages may be sent there. Raises `WebhookRefused`."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port, parts = "", 0, urlsplit("")
        numeric = host.replace(".", "").isdigit() and not _is_address(host)  # 2130706433 is 127.0.0.1 to some
        malformed = not host or numeric or port == 0 or parts.username is not None
        if malformed or len(url) > LONGEST_URL or not url.isprintable():
            raise WebhookRefused("the webhook is no address; write it as https://hooks.example.com/answers")
        if host not in self._named and not any(_matches(host, pattern) for pattern in self._patterns):
            raise WebhookRefused(f"webhooks are not sent to {host[:100]}; HEADWATER_WEBHOOK_HOSTS names the hosts")
        if parts.scheme != "https" and not (parts.scheme == "http" and host in self._named):
            raise WebhookRefused("a webhook needs https, unless HEADWATER_WEBHOOK_HOSTS names its very host")
        if host not in self._named and _is_address(host) and not is_public(host):
            raise WebhookRefused(f"webhooks are not sent to the private address {host}")
        return url

    async def post(self, url: str, id: str, body: bytes) -> int:
        """Send a message; returns the status of the response. Raises `WebhookRefused`, `ClientError`, `OSError`."""
        self.check(url)
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=_Resolver(self._named), limit=AT_ONCE, use_dns_cache=False)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, timeout=WITHIN, cookie_jar=jar, trust_env=False)
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Headwater",
            "webhook-id": id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._key, id, now, body),
        }
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            response.close()  # its body is of no use
            return response.status

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None  # an app may be started again
        if session is not None:
            await session.close()


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    digest = hmac.new(key, b"%b.%d.%b" % (id.encode(), timestamp, body), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def key_of(secret: str) -> bytes:
    """The key that a secret holds: `whsec_` and base64, or the text itself. Raises `ValueError` for a short one."""
    key = base64.b64decode(secret[len(_BASE64) :], validate=True) if secret.startswith(_BASE64) else secret.encode()
    if len(key) < 24:
        raise ValueError("the secret has fewer than 24 bytes")
    return key


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's; one that has another within is taken for private."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in _NAT64):
        return False
    return ip.is_global and not ip.is_multicast


class _Resolver(AbstractResolver):
    """Looks names up, and refuses private addresses of hosts that the operator has not named."""

    def __init__(self, named: Collection[str]) -> None:
        self._named = named
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if host.lower() not in self._named and not all(is_public(each["host"]) for each in found):
            why = f"{host} has a private address, and HEADWATER_WEBHOOK_HOSTS does not name this host"
            raise PermissionError(errno.EACCES, why)
        return found

    async def close(self) -> None:
        await self._system.close()


def _matches(host: str, pattern: str) -> bool:
    return pattern == "*" or (pattern.startswith("*.") and host.endswith(pattern[1:].lower()))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
