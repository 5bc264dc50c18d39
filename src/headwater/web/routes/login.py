"""The login box: a form that turns a key into a session, and one that ends the session. Without a script."""

import math
import re
import time
from contextlib import suppress
from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from headwater.access import session
from headwater.access.attempts import Attempts
from headwater.access.refusals import Unauthorized
from headwater.errors import HeadwaterError
from headwater.principal import Principal
from headwater.web.audit import id_of, note
from headwater.web.cookies import is_secure
from headwater.web.gate import COOKIE, LOGIN, LOGOUT, Access
from headwater.web.notice import notice
from headwater.web.origin import Forbidden, forbidden, hosts_of, is_same
from headwater.web.problems import closed
from headwater.web.surface import Surface

_LOCAL = re.compile(r"/(?!/|login\b|logout\b)[!-\[\]-~]{0,2000}", re.ASCII)
_MOST = 4096
"""Bytes of the form that are read."""
LAST, KNOWN = "headwater_last", 400 * 86_400
"""The cookie with the id of the key that logged in last in this browser, and seconds for which it is kept."""
_NOT_NOW = "The server cannot take this now. Try again in a moment."
FOREIGN = Forbidden(
    "This form came from a page at another address. Open the server's own address; a proxy that changes the address "
    "must be named in HEADWATER_PROXIES."
)

_FORM = """{failure}<p>This server needs a key. Whoever runs it makes one with <code>headwater keys create</code>.</p>
<form method="post">
<input name="username" value="Headwater" autocomplete="username" hidden>
<label for="key">Key</label>
<input id="key" name="key" type="password" autocomplete="current-password" spellcheck="false" required autofocus>
<button>Log in</button>
</form>"""

_INSIDE = """<p>You are logged in with the key <b>{id}</b> of the tenant <b>{tenant}</b>.</p>
<p><a href="/">To the page</a></p>
<form method="post" action="/logout"><button>Log out</button></form>"""


class Login:
    """The box. Its forms are taken from its own page only: a foreign one could log its visitor in as somebody else."""

    def __init__(self, access: Access, surface: Surface) -> None:
        self._access = access
        self._surface = surface._replace(max_body=_MOST)
        self._attempts = Attempts()

    async def show(self, request: Request) -> Response:
        """`GET /login`: the box, or who is logged in, or the way back to where the visitor came from."""
        back = _back(request)
        if not self._access.required:
            return _to(back)
        try:
            key = await self._access.key(request.headers)
        except Unauthorized:
            return _box()
        except HeadwaterError as error:
            return _box(_NOT_NOW, error.status)
        if "next" in request.query_params:
            return _to(back)
        return notice("Logged in", _INSIDE.format(id=escape(key.id), tenant=escape(key.tenant)))

    async def enter(self, request: Request) -> Response:
        """`POST /login`: a session for a valid key; after too many wrong ones from an address, 429 for a while."""
        if not is_own(request):
            return forbidden(FOREIGN, request.headers)
        address = request.client.host if request.client else ""
        try:
            form = parse_qs((await self._surface.body(request)).decode("ascii", "replace"))
            if wait := math.ceil(self._attempts.wait(address)):
                response = _box(f"Too many wrong keys. Try again in {wait} s.", 429)
                response.headers["Retry-After"] = str(wait)
                return response
            key = self._access.keys.current().find(form.get("key", [""])[0].strip())
            if key is None:
                self._attempts.failed(address)
                note(request.scope, "key-refused", id=id_of(form.get("key", [""])[0].strip()))
                return _box("This key is not valid here. It may be mistyped or revoked.", 401)
            cookie = session.issue(key, await self._access.secret(), time.time())
        except HeadwaterError as error:
            return _box(_NOT_NOW, error.status)
        note(request.scope, "login", Principal(key.tenant, key.id))
        response = _to(_back(request))
        secure = is_secure(request)
        if request.cookies.get(LAST, key.id) != key.id:
            # The browser still has what the one before had begun to ask, and would ask it by this key.
            response.headers["Clear-Site-Data"] = '"storage"'
        response.set_cookie(COOKIE, cookie, session.LIFE, httponly=True, samesite="lax", secure=secure)
        response.set_cookie(LAST, key.id, KNOWN, path=LOGIN, httponly=True, samesite="lax", secure=secure)
        return response

    async def leave(self, request: Request) -> Response:
        """`POST /logout`: the browser forgets the session."""
        if not is_own(request):
            return forbidden(FOREIGN, request.headers)
        with suppress(HeadwaterError):
            key = await self._access.key(request.headers)
            note(request.scope, "logout", Principal(key.tenant, key.id))
        response = _to(LOGIN)
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return response


def login_routes(access: Access, surface: Surface) -> list[BaseRoute]:
    """The routes of the login box."""
    login, router = Login(access, surface), APIRouter()
    router.add_route(LOGIN, login.show, ["GET"], include_in_schema=False)
    router.add_route(LOGIN, login.enter, ["POST"], include_in_schema=False)
    router.add_route(LOGOUT, login.leave, ["POST"], include_in_schema=False)
    return closed(router).routes


def _box(failure: str = "", status: int = 200) -> Response:
    said = f'<p class="bad" role="alert">{escape(failure)}</p>' if failure else ""
    response = notice("Log in", _FORM.format(failure=said), status)
    if status == Unauthorized.status:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _to(path: str) -> Response:
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def _back(request: Request) -> str:
    """Where to go after the login: a path of this server, never another site."""
    wanted = request.query_params.get("next", "/")
    return wanted if _LOCAL.fullmatch(wanted) else "/"


def is_own(request: Request) -> bool:
    """Whether a form comes from this server's own page. Behind a development server only the browser can say so."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or is_same(origin, hosts_of(request.scope, request.headers))
