"""The `Host` and `Origin` checks of requests from browsers, and CORS for the origins that are allowed.

A server on loopback is reachable by every page its user visits. An unknown `Host` is DNS rebinding; an unknown
`Origin` is a foreign page. Both are refused before anything is read or spent.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.errors import RequestError
from headwater.web.problems import refused

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EXPOSED = "Location, Age, Cache-Status, Retry-After"
FOREIGN = (
    "another site's page asked for this without an Origin; open the address in a tab of its own, or add that site to "
    "HEADWATER_ORIGINS and call it with fetch()"
)
ALLOWED_HEADERS = "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID"
_HEADER_NAMES = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:, ?[\w!#$%&'*+.^`|~-]+)*", re.ASCII)
_MOST = 2000
"""Bytes of a preflight's list of header names that are sent back."""


class Forbidden(RequestError):
    """The request's `Origin` or `Host` is not one that the operator has allowed."""

    code = "forbidden_origin"
    status = 403


class OriginGuard:
    """ASGI middleware that passes the operator's own pages and programs without a browser, and refuses other pages.

    `origins` are exact (`https://app.example`), or `*` for any; `hosts` are names without a port, or `*`. With
    `credentials`, pages of the named origins may send cookies. Never those of `*`, and of `null`, which any page can
    have: they could use the cookies of whoever visits them.
    """

    def __init__(
        self, app: ASGIApp, origins: Iterable[str] = (), hosts: Iterable[str] = LOOPBACK, *, credentials: bool = False
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._origins = frozenset(origin.rstrip("/") for origin in origins)
        named = (*hosts, *(urlsplit(origin).netloc for origin in self._origins))
        self._hosts = frozenset(name for host in named if (name := "*" if host == "*" else _name(host)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        foreign_page = headers.get("sec-fetch-site") == "cross-site" and not _follows_link_to_page(scope, headers)
        refusal = self._refusal(host, origin, foreign_page)
        if refusal is not None:
            await refused(Forbidden(refusal))(scope, receive, send)
            return
        foreign = origin is not None and not _same(origin, host)
        if foreign and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self._preflight(origin or "", headers.get("access-control-request-headers", ""), send)
            return
        await self._app(scope, receive, self._with_cors(origin or "", send) if foreign else send)

    def _refusal(self, host: str, origin: str | None, foreign_page: bool) -> str | None:
        if "*" not in self._hosts and _name(host) not in self._hosts:
            return f"Host {host[:100]!r} is not served here; add it to HEADWATER_HOSTS"
        if origin is None:
            # Old forms and images come without an Origin; `Sec-Fetch-Site: cross-site` is then believed.
            return FOREIGN if foreign_page else None
        if _same(origin, host) or "*" in self._origins or origin in self._origins:
            return None
        return f"Origin {origin[:100]!r} may not use this server; add it to HEADWATER_ORIGINS"

    async def _preflight(self, origin: str, wanted: str, send: Send) -> None:
        # Any header: the origin has been checked, no route trusts a header because a browser let it pass, and tracing
        # libraries add their own to every request.
        any_header = len(wanted) <= _MOST and _HEADER_NAMES.fullmatch(wanted)
        headers = {
            **self._shared_with(origin),
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": wanted if any_header else ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
            "Vary": "Origin, Access-Control-Request-Headers",
        }
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 204, "headers": raw})
        await send({"type": "http.response.body", "body": b""})

    def _shared_with(self, origin: str) -> dict[str, str]:
        named = origin in self._origins and origin not in ("*", "null")
        credentials = {"Access-Control-Allow-Credentials": "true"} if self._credentials and named else {}
        return {"Access-Control-Allow-Origin": origin, **credentials}

    def _with_cors(self, origin: str, send: Send) -> Send:
        async def allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._shared_with(origin))
                headers["Access-Control-Expose-Headers"] = EXPOSED
                headers.add_vary_header("Origin")
            await send(message)

        return allowed


def _follows_link_to_page(scope: Scope, headers: Headers) -> bool:
    """Whether this is a navigation to the chat page: the page opens in a tab, where the other origin cannot read it."""
    link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return link and scope["method"] == "GET" and scope["path"] == "/"


def _name(host: str) -> str | None:
    """The host name in a `Host` header, in lower case and without its port; None if the header is malformed."""
    try:
        return urlsplit(f"//[{host}]" if host.count(":") > 1 and "[" not in host else f"//{host}").hostname
    except ValueError:
        return None


def _same(origin: str, host: str) -> bool:
    # The scheme is not compared: behind a proxy that ends TLS the page is https and this server is not.
    try:
        return urlsplit(origin).netloc.lower() == host.lower() if "//" in origin else False
    except ValueError:
        return False
