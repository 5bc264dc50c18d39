"""The proxies in front of the server whose `X-Forwarded-*` headers are believed: those that the operator names."""

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from headwater.web.origin import FORWARDED


class Proxies:
    """ASGI middleware that takes the scheme, the client's address and the host from proxies of these networks.

    uvicorn's own takes no host; and as `proxy_headers=True` it would trust 127.0.0.1 and `FORWARDED_ALLOW_IPS`.
    """

    def __init__(self, app: ASGIApp, networks: Iterable[str]) -> None:
        self._app: Any = app
        self._believing = ProxyHeadersMiddleware(self._app, [form for each in networks for form in _forms(each)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is None or client[0] not in self._believing.trusted_hosts:
            await self._app(scope, receive, send)
            return
        for host in Headers(scope=scope).getlist("x-forwarded-host"):
            scope[FORWARDED] = host.rpartition(",")[2].strip()  # the last is the nearest proxy's
        believing: Any = self._believing
        await believing(scope, receive, send)


def _forms(network: str) -> list[str]:
    """A network as uvicorn compares it; a server that listens on `::` sees IPv4 addresses as IPv6 ones."""
    found = ip_network(network)
    mapped = [f"::ffff:{found.network_address}/{96 + found.prefixlen}"] if isinstance(found, IPv4Network) else []
    return [str(found), *mapped]
