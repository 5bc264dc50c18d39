"""One-time links that make a second browser the same visitor as the first. Without a script."""

import hashlib
import secrets
import time

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from headwater.access import visitor
from headwater.answers import former
from headwater.conversations.conversations import Conversations
from headwater.conversations.nodes import written
from headwater.errors import Conflict, HeadwaterError, RequestError
from headwater.principal import ANYONE
from headwater.web.address import address, mount
from headwater.web.audit import note
from headwater.web.json_response import json_response
from headwater.web.notice import notice
from headwater.web.origin import forbidden
from headwater.web.problems import DirectRoute, closed
from headwater.web.routes.conversations import route
from headwater.web.routes.login import FOREIGN, is_own
from headwater.web.surface import Surface
from headwater.web.visitors import admit, cookie_of, known

LINK, JOIN = "/api/visitor/link", "/join/{token}"
JOINS = "joins"
"""The collection of links, by the hash of their tokens: the visitor, or nothing once a link was used."""
LIFE = 600
"""Seconds for which a link works."""

_LOGIN = "On this server a key says who you are. Log in with the same key on the other device: its chats are there."
_FORM = """<p>This browser will show the chats of the device on which the link was made, and may change them.</p>
{own}<p>Go on only if you made the link yourself.</p>
<form method="post"><button>Use these chats here</button></form>"""
_OWN = "<p>The chats that this browser has now ({count}) come along. <b>The other device can read them then.</b></p>"
_OVER = """<p>The link works once, for ten minutes. It was used, or its time is over.</p>
<p>Make a new one on the other device. <a href="{home}">To the chats of this browser</a></p>"""
_SAME = """<p>This browser has these chats already. Open the link on another device.</p>
<p><a href="{home}">To the chats</a></p>"""
_NOT_NOW = "<p>The server cannot do this now. No chat is lost. Make a new link in a moment, and try again.</p>"


class LoginDecides(RequestError):
    """A key or the app says who the caller is, so no link can."""

    code = "login_decides"
    status = 409


class JoinLink(msgspec.Struct, frozen=True):
    """A link that makes another browser the same visitor."""

    url: str
    expires_at: str


class Joining:
    """Makes links, and lets the browsers join that open them. To look at a link burns nothing: previews do that."""

    def __init__(self, surface: Surface, conversations: Conversations) -> None:
        self._surface = surface
        self._answers = surface.answers
        self._conversations = conversations

    async def link(self, request: Request) -> Response:
        """Make a link that works once, for ten minutes, and makes the browser that opens it the caller's visitor."""
        if await self._surface.identify(request) != ANYONE:
            raise LoginDecides(_LOGIN)
        id = (await admit(request, self._answers)).subject.partition(":")[2]
        token, now = secrets.token_urlsafe(24), time.time()
        await self._answers.documents.put(_hash(token), id.encode(), ttl=LIFE, version=0, collection=JOINS)
        url = address(request, mount(request, LINK) + JOIN[1:].format(token=token))
        return await json_response(request, JoinLink(url, written(now + LIFE)), 201)

    async def show(self, request: Request) -> Response:
        """`GET /join/{token}`: what the button does."""
        try:
            return await self._asked(request) or await self._form(request)
        except HeadwaterError as error:
            return notice("Not now", _NOT_NOW, error.status)

    async def join(self, request: Request) -> Response:
        """`POST /join/{token}`: the browser becomes the visitor, and what it had goes along."""
        if not is_own(request):
            return forbidden(FOREIGN, request.headers)
        try:
            return await self._asked(request) or await self._joined(request)
        except HeadwaterError as error:
            return notice("Not now", _NOT_NOW, error.status)

    async def _asked(self, request: Request) -> Response | None:
        """Why there is nothing to join, as a page; None where the link works."""
        if await self._surface.identify(request) != ANYONE:
            return notice("Nothing to join", f"<p>{_LOGIN}</p>", LoginDecides.status)
        target = await self._target(request)
        if target is None:
            return notice("This link is over", _OVER.format(home=mount(request, JOIN)), 410)
        if target == await known(request, self._answers):
            return notice("Nothing to join", _SAME.format(home=mount(request, JOIN)))
        return None

    async def _form(self, request: Request) -> Response:
        own = await known(request, self._answers)
        count = 0 if own is None else len(await self._conversations.heads(visitor.principal(own)))
        return notice("Join your other device", _FORM.format(own=_OWN.format(count=count) if count else ""))

    async def _joined(self, request: Request) -> Response:
        target = await self._burnt(request)
        if target is None:
            return notice("This link is over", _OVER.format(home=mount(request, JOIN)), 410)
        home, own = mount(request, JOIN), await known(request, self._answers)
        cookie = await cookie_of(request, self._answers, target, home)
        note(request.scope, "join", visitor.principal(target))
        if own is not None:
            source, joined = visitor.principal(own), visitor.principal(target)
            await former.join(self._answers.documents, source, joined)
            await self._conversations.move_all(source, joined)
        return RedirectResponse(home, 303, {"Cache-Control": "no-store", "Set-Cookie": cookie})

    async def _target(self, request: Request) -> str | None:
        """The visitor of the link, if it still works."""
        found = await self._answers.documents.get(_hash(request.path_params["token"]), collection=JOINS)
        return found.value.decode() or None if found is not None else None

    async def _burnt(self, request: Request) -> str | None:
        """The same; the link works no more afterwards, and of several requests one gets the visitor."""
        documents, name = self._answers.documents, _hash(request.path_params["token"])
        found = await documents.get(name, collection=JOINS)
        try:
            if found is not None and found.value:
                await documents.put(name, b"", ttl=LIFE, version=found.version, collection=JOINS)
                return found.value.decode()
        except Conflict:
            pass
        return None


def join_routes(surface: Surface, conversations: Conversations) -> list[BaseRoute]:
    """The route that makes a link, and those of the page that it leads to."""
    joining, router = Joining(surface, conversations), APIRouter(route_class=DirectRoute, tags=["stream"])
    router.add_api_route(LINK, joining.link, methods=["POST"], **route({201: ("The link", JoinLink)}))
    router.add_route(JOIN, joining.show, ["GET"], include_in_schema=False)
    router.add_route(JOIN, joining.join, ["POST"], include_in_schema=False)
    return closed(router).routes


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
