"""Visitors of the web: who a caller is whom no key and no app names, by a cookie that the page sets."""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from headwater.access import visitor
from headwater.answers.answers import Answers
from headwater.principal import ANYONE, Principal
from headwater.web.cookies import cookies, is_secure
from headwater.web.place import place

COOKIE = "headwater_visitor"
_MADE = "headwater.visitor"
"""The key in an ASGI scope of the id of a visitor that the request itself has made, and of its cookie, if any."""


async def known(request: Request, answers: Answers) -> str | None:
    """The visitor that a request's cookie names; None without a valid one. Raises `StoreError`.

    The secret that this process knows is tried first, so that no request waits for the store.
    """
    if made := request.scope.get(_MADE):
        return made[0]
    values = cookies(request.headers, COOKIE) if "cookie" in request.headers else []
    for value in values:
        for confirmed in (False, True):
            if id := visitor.holder(value, await answers.secret(confirmed=confirmed)):
                return id
    return None


async def visitor_of(request: Request, answers: Answers) -> Principal:
    """The caller as a visitor, or `ANYONE`. Raises `StoreError`."""
    id = await known(request, answers)
    return ANYONE if id is None else visitor.principal(id)


async def admit(request: Request, answers: Answers) -> Principal:
    """The caller as a visitor; a new one that changes something gets a cookie with the response. Raises `StoreError`.

    One that only looks finds nothing anyway, and is to have no cookie for looking at what somebody else has shared.
    """
    id = await known(request, answers)
    if id is None:
        id, path = visitor.new(), place(request).rsplit("/api/", 1)[0] + "/"
        looks = request.method in ("GET", "HEAD")
        request.scope[_MADE] = id, None if looks else await cookie_of(request, answers, id, path)
    return visitor.principal(id)


async def renewed(request: Request, answers: Answers) -> str:
    """The `Set-Cookie` with which the page keeps a visitor, or makes a new one. Raises `StoreError`."""
    return await cookie_of(request, answers, await known(request, answers) or visitor.new(), place(request))


async def cookie_of(request: Request, answers: Answers, id: str, path: str) -> str:
    """The `Set-Cookie` that makes the caller's browser this visitor under a path. Raises `StoreError`."""
    value = visitor.issue(id, await answers.secret(), next(iter(cookies(request.headers, COOKIE)), ""))
    secure = "; Secure" if is_secure(request) else ""
    path = path.replace(";", "%3B")
    return f"{COOKIE}={value}; Max-Age={visitor.LIFE}; Path={path}; HttpOnly; SameSite=Lax{secure}"


def admitted(request: Request, response: Response) -> Response:
    """The response, with the cookie of a visitor that the request has made."""
    _, cookie = request.scope.get(_MADE, (None, None))
    return response if cookie is None else _WithCookie(response, cookie)


class _WithCookie(Response):
    """Another response with a cookie: a stream sends its headers itself."""

    def __init__(self, response: Response, cookie: str) -> None:
        self.background = None
        self.status_code = response.status_code
        self._response = response
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.append("Set-Cookie", self._cookie)
                headers["Cache-Control"] = f"private, {headers.get('Cache-Control', 'no-cache')}"
            await send(message)

        await self._response(scope, receive, sending)
