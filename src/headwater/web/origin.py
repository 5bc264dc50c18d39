"""The `Host` and `Origin` checks of requests from browsers, and CORS for the origins that are allowed.

A server on loopback is reachable by every page its user visits. An unknown `Host` is DNS rebinding; an unknown
`Origin` is a foreign page. Both are refused before anything is read or spent.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.dialects.problem import problem
from headwater.errors import RequestError
from headwater.web.hosts import Hosts, name_of
from headwater.web.notice import notice, wants_page
from headwater.web.problems import RefusalAt, Refuse, refused

EXPOSED = (
    "Location, Age, Cache-Status, Retry-After, RateLimit, RateLimit-Policy, request-id, x-request-id, "
    "x-workflow-run-id, x-vercel-ai-ui-message-stream"
)
FOREIGN = (
    "Another site's page asked for this without an Origin. Open the address in a tab of its own, or add that site to "
    "HEADWATER_ORIGINS and call it with fetch()."
)
ALLOWED_HEADERS = "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID"
HEALTH = ("/healthz", "/readyz")
"""Probes call these by whatever name they know the server under, and learn nothing there."""
FORWARDED = "headwater.forwarded_host"
"""The key in an ASGI scope of the `Host` that a trusted proxy was asked for."""
_HEADER_NAMES = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:, ?[\w!#$%&'*+.^`|~-]+)*", re.ASCII)
_PLAIN = re.compile(r"[a-z0-9.:/-]{1,200}", re.ASCII)
_MOST = 2000
"""Bytes of a preflight's list of header names that are sent back."""


class Forbidden(RequestError):
    """The request's `Origin` or `Host` is not one that the operator has allowed."""

    code = "forbidden_origin"
    status = 403

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting
        """What would allow it, as it is written in the environment."""


class Allowed(NamedTuple):
    """The pages and the host names that the operator allows.

    `origins` are exact (`https://app.example`), or `*` for any; `hosts` are names beside the usual ones (`Hosts`), or
    `*`. With `credentials`, pages of the named origins may send cookies. Never those of `*`, and of `null`, which any
    page can have: they could use the cookies of whoever visits them.
    """

    origins: Sequence[str] = ()
    hosts: Sequence[str] = ()
    credentials: bool = False


class OriginGuard:
    """ASGI middleware that passes the operator's own pages and programs without a browser, and refuses other pages."""

    def __init__(self, app: ASGIApp, allowed: Allowed, refusal_at: RefusalAt = lambda _: problem) -> None:
        self._app = app
        self._refusal_at = refusal_at
        self._credentials = allowed.credentials
        self._origins = frozenset(origin.rstrip("/") for origin in allowed.origins)
        self._hosts = Hosts([*allowed.hosts, *(urlsplit(origin).netloc for origin in self._origins)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, hosts = headers.get("origin"), hosts_of(scope, headers)
        refusal = self._refusal(scope, headers, origin, hosts)
        if refusal is not None:
            await forbidden(refusal, headers, self._refusal_at(scope["path"]))(scope, receive, send)
            return
        foreign = origin is not None and not is_same(origin, hosts)
        if foreign and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            preflight = self._preflight(origin or "", headers.get("access-control-request-headers", ""))
            await preflight(scope, receive, send)
            return
        await self._app(scope, receive, self._with_cors(origin or "", send) if foreign else send)

    def _refusal(self, scope: Scope, headers: Headers, origin: str | None, hosts: Sequence[str]) -> Forbidden | None:
        for host in hosts:
            if not self._hosts.serves(host) and scope["path"] not in HEALTH:
                why = f"This server does not answer to the name “{(name_of(host) or host)[:100]}”."
                return Forbidden(f"{why} If the name is yours, add it to HEADWATER_HOSTS.", _setting("HOSTS", host))
        if origin is None:
            # Old forms and images come without an Origin; `Sec-Fetch-Site: cross-site` is then believed.
            cross = headers.get("sec-fetch-site") == "cross-site"
            return Forbidden(FOREIGN) if cross and not _follows_link_to_page(scope, headers) else None
        if is_same(origin, hosts) or "*" in self._origins or origin in self._origins:
            return None
        why = f"Pages of “{origin[:100]}” may not use this server."
        return Forbidden(f"{why} If the site is yours, add it to HEADWATER_ORIGINS.", _setting("ORIGINS", origin))

    def _preflight(self, origin: str, wanted: str) -> Response:
        # Any header: the origin has been checked, no route trusts a header because a browser let it pass, and tracing
        # libraries add their own to every request.
        any_header = len(wanted) <= _MOST and _HEADER_NAMES.fullmatch(wanted)
        headers = {
            **self._shared_with(origin),
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": wanted if any_header else ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
            "Vary": "Origin, Access-Control-Request-Headers",
        }
        return Response(None, 204, headers)

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


def hosts_of(scope: Scope, headers: Headers) -> Sequence[str]:
    """The `Host` of a request, and the one that its client named to a trusted proxy, if there is one in front."""
    forwarded = scope.get(FORWARDED)
    return (headers.get("host", ""),) if forwarded is None else (headers.get("host", ""), forwarded)


def is_same(origin: str, hosts: Sequence[str]) -> bool:
    """Whether an `Origin` is the server's own."""
    # The scheme is not compared: behind a proxy that ends TLS the page is https and this server is not.
    try:
        return "//" in origin and urlsplit(origin).netloc.lower() in (host.lower() for host in hosts)
    except ValueError:
        return False


def forbidden(error: Forbidden, headers: Headers, refuse: Refuse = problem) -> Response:
    """The refusal: a page for a browser, with the setting that would allow the request, else the client's form."""
    if not wants_page(headers):
        return refused(error, refuse)
    todo = f"<p>To allow it, start the server with</p><pre>{escape(error.setting)}</pre>" if error.setting else ""
    return notice("Not served here", f"<p>{escape(str(error))}</p>{todo}", error.status)


def _setting(name: str, value: str) -> str:
    """The line that allows a value; none for a value that nobody should paste into a shell."""
    value = value if "://" in value else name_of(value) or ""
    return f"HEADWATER_{name}={value}" if _PLAIN.fullmatch(value) else ""


def _follows_link_to_page(scope: Scope, headers: Headers) -> bool:
    """Whether this is a navigation to a page for people: it opens in a tab, where the other origin cannot read it."""
    link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    path: str = scope["path"]
    return link and scope["method"] == "GET" and (path in ("/", "/login", "/shared") or path.startswith("/join/"))
