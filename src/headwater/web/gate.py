"""The check of a request's key, in front of every route but those that anybody may call."""

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headwater.access import session
from headwater.access.forwarded import Read, within
from headwater.access.keyfile import Keys
from headwater.access.keys import Key, hash_of
from headwater.access.refusals import InvalidToken, NotAllowed, Unauthorized
from headwater.dialects.problem import problem
from headwater.errors import HeadwaterError
from headwater.principal import ANYONE, Principal
from headwater.web.audit import Uses, id_of, note
from headwater.web.cookies import cookies
from headwater.web.notice import wants_page
from headwater.web.origin import HEALTH
from headwater.web.problems import RefusalAt, refused

COOKIE = "headwater_session"
LOGIN, LOGOUT = "/login", "/logout"
FILES = ("/mark.svg", "/diagram.html", "/theme-early.js", "/sw.js", "/manifest.webmanifest")
OPEN = frozenset({*HEALTH, LOGIN, LOGOUT, "/shared", *FILES})
"""What anybody may call: the probes, the login box, the page of a shared conversation, and the page's files."""
OPEN_BELOW = ("/assets/", "/icon-", "/api/shared/")
"""The same for paths that begin so: a shared conversation is named by its token alone."""
OPERATOR = ("/metrics", "/api/operator")
"""The operator's routes: these paths, and all below them."""
_BELOW = tuple(f"{each}/" for each in OPERATOR)
PRINCIPAL, IN_BODY = "headwater.principal", "headwater.user-in-body"
"""The keys in an ASGI scope of who asks, which the operator's routes lack, and of whether the body may name a user."""

MISSING = (
    "This server needs a key. Send it as `Authorization: Bearer …` or `x-api-key: …`. Whoever runs the server makes "
    "keys with `headwater keys create`."
)
WRONG = "This key is not valid here. It may be mistyped, revoked, or of another server."
ENDED = "The session has ended. Log in again."
UNSET = (
    "This route is the operator's, and this server has no key for it. Set HEADWATER_OPERATOR_KEY, and send it as "
    "`Authorization: Bearer …`."
)
OPERATORS = "This route is the operator's. Send the key that is in HEADWATER_OPERATOR_KEY as `Authorization: Bearer …`."
NO_TENANT = "This is the operator's key. It names no tenant, so it is for /metrics and /api/operator/… only."


class Tokens(Protocol):
    """Whom tokens name (`access/tokens.py`)."""

    async def principal(self, written: str) -> Principal:
        """Who a token names. Raises `InvalidToken` or `KeysUnavailable`."""
        ...


class Ways(NamedTuple):
    """How a server knows its callers, beside keys."""

    operator: str | None = None
    """The key of the operator's routes. Without it they are for everybody if no key is needed and `local` says that
    only this machine reaches the server, and else for nobody."""
    local: bool = True
    tokens: Tokens | None = None
    """Who verifies JSON Web Tokens."""
    users: Read | None = None
    """Reads the user whom the holder of a key names by its headers."""
    in_body: bool = False
    """Whether the holder of a key may name a user in the body."""


class Access:
    """Finds out by which key a request comes. `secret` signs the sessions, and is asked for at each use."""

    def __init__(self, keys: Keys, secret: Callable[[], Awaitable[bytes]], ways: Ways = Ways()) -> None:  # noqa: B008 - immutable
        self.keys = keys
        self.secret = secret
        self._ways = ways
        self._operator = ways.operator and hash_of(ways.operator)

    @property
    def required(self) -> bool:
        """Whether a request must say who asks."""
        return self.keys.required or self._ways.tokens is not None

    def check_operator(self, headers: Headers) -> None:
        """Let the operator pass. Raises `Unauthorized` without a key, `NotAllowed` for any other."""
        if self._operator is None:
            if self.required or not self._ways.local:
                raise NotAllowed(UNSET)
        elif (written := _written(headers)) is None:
            raise Unauthorized(OPERATORS)
        elif not self._is_operator(written):
            raise NotAllowed(OPERATORS)

    def _is_token(self, written: str) -> bool:
        return written.count(".") == 2 and self.keys.current().find(written) is None

    def _is_operator(self, written: str) -> bool:
        return self._operator is not None and hmac.compare_digest(self._operator, hash_of(written))

    async def admit(self, scope: Scope, headers: Headers) -> None:
        """Put who asks into the scope. Raises what `key` raises, `InvalidToken` or `KeysUnavailable`."""
        written, ways = _written(headers), self._ways
        if ways.tokens is not None and written is not None and self._is_token(written):
            scope[PRINCIPAL] = await ways.tokens.principal(written)
            return
        key = await self.key(headers)
        scope[PRINCIPAL] = Principal(key.tenant, key.id)
        if written is not None and ways.users is not None:
            scope[PRINCIPAL] = within(scope[PRINCIPAL], ways.users(headers))
        elif written is not None and ways.in_body:
            scope[IN_BODY] = True

    async def key(self, headers: Headers) -> Key:
        """The key that a request brings, or that its session stands for. Raises `Unauthorized` or `StoreError`."""
        if (written := _written(headers)) is not None:
            found, why = self.keys.current().find(written), WRONG
        elif found := cookies(headers, COOKIE):
            found, why = session.holder(found[0], self.keys.current(), await self.secret(), time.time()), ENDED
        else:
            found, why = None, MISSING
        if found is None and written is not None and self._is_operator(written):
            raise NotAllowed(NO_TENANT)
        if found is None:
            raise Unauthorized(why)
        return found


class Gate:
    """ASGI middleware that lets in who has a key, and puts the principal into the scope. Without keys all are one."""

    def __init__(self, app: ASGIApp, access: Access, refusal_at: RefusalAt = lambda _: problem) -> None:
        self._app = app
        self._access = access
        self._refusal_at = refusal_at
        self._uses = Uses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            try:
                await self._check(scope, headers)
            except HeadwaterError as error:
                await self._refused(error, scope, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _check(self, scope: Scope, headers: Headers) -> None:
        """Put who asks into the scope. Raises what the request is refused for."""
        path: str = scope["path"]
        if is_operators(path):
            self._access.check_operator(headers)
            if scope.get("method") not in ("GET", "HEAD", "OPTIONS"):
                note(scope, "operator", id=f"{scope.get('method')} {path}?{scope['query_string'].decode('latin-1')}")
        elif self._access.required and not _is_open(path):
            await self._access.admit(scope, headers)
            self._uses.note(scope, scope[PRINCIPAL])
        else:
            scope[PRINCIPAL] = ANYONE

    def _refused(self, error: HeadwaterError, scope: Scope, headers: Headers) -> Response:
        refuse, written = self._refusal_at(scope["path"]), _written(headers)
        if written is not None and error.status in (401, 403):
            note(scope, "key-refused", id=id_of(written))
        if isinstance(error, InvalidToken):
            response = refused(error, refuse)
            why = error.told.encode("ascii", "replace").decode().replace('"', "'")  # a claim may have any name
            response.headers["WWW-Authenticate"] = f'Bearer error="{error.code}", error_description="{why}"'
            return response
        if not isinstance(error, Unauthorized):
            return refused(error, refuse)
        if scope.get("method") in ("GET", "HEAD") and wants_page(headers) and not is_operators(scope["path"]):
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            back = quote(quote(scope["path"]).encode() + query, safe="/")
            return RedirectResponse(f"{LOGIN}?next={back}", 303, {"Cache-Control": "no-store"})
        response = refused(error, refuse)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response


def is_operators(path: str) -> bool:
    """Whether a path is the operator's."""
    return path in OPERATOR or path.startswith(_BELOW)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


def _written(headers: Headers) -> str | None:
    """The key as it stands in a header; None without one. Other schemes are a proxy's, such as its Basic password."""
    scheme, _, written = headers.get("authorization", "").partition(" ")
    return written.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
