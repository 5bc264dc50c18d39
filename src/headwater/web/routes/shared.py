"""Links that show a conversation to whoever has them: made, revoked, read."""

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.conversations.conversations import Conversation, Conversations
from headwater.conversations.nodes import Node, Reply, Whole, described, path
from headwater.dialects.native.dialect import Native
from headwater.offsets import run_of
from headwater.principal import ANYONE, Principal
from headwater.web.address import address, mount
from headwater.web.audit import note
from headwater.web.json_response import json_response, unchanged
from headwater.web.place import place
from headwater.web.response import Delivery, LogResponse, Pages
from headwater.web.routes.conversation_files import file_of
from headwater.web.routes.conversations import ID, ONE, route, version_of
from headwater.web.routes.native import parameter
from headwater.web.surface import Surface, head, is_read

SHARE = f"{ONE}/share"
SHARED = "/api/shared/{token}"
STREAM = f"{SHARED}/stream"
FILE = f"{SHARED}/attachments/{{attachment}}"
LOOK = 1.0
"""Seconds of text at most that an open stream shows after its link was revoked."""
TOKEN = parameter("token", "path", "The link's token")


class Link(msgspec.Struct, frozen=True):
    """A link that shows a conversation."""

    token: str
    url: str


def add_share_routes(router: APIRouter, surface: Surface, conversations: Conversations) -> None:
    """Add the routes of the owner, and those of whoever has the link."""
    _add_owner_routes(router, surface, conversations)
    answers, dialect = surface.answers, Native()

    @router.get(SHARED, **route({200: ("The conversation", Whole)}, TOKEN))
    async def read(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """A shared conversation: the branch that its owner sees, without the system prompt. Needs no key."""
        conversation, _ = await conversations.shared(request.path_params["token"])
        tag = version_of(conversation)
        same = None if tag is None else unchanged(request, tag)
        response = same or await json_response(request, _seen(request, conversation), tag=tag)
        response.headers["X-Robots-Tag"] = "noindex"
        return response

    @router.get(FILE, **route({200: ("The file", None)}, TOKEN, parameter("attachment", "path", "Its id")))
    async def file(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The data of an attachment of a shared conversation, of the branch that is shown. Needs no key."""
        conversation, _ = await conversations.shared(request.path_params["token"])
        shown = Conversation(conversation.head, _branch(conversation))
        response = await file_of(conversations, shown, request.path_params["attachment"])
        response.headers["Cache-Control"] = "private, no-cache"  # the link may be revoked
        return response

    @router.get(STREAM, **route({200: ("The answer as it is written; 204 if none is", None)}, TOKEN))
    async def follow(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The live answer of a shared conversation, after `Last-Event-ID`. Needs no key."""
        token: str = request.path_params["token"]
        conversation, tenant = await conversations.shared(token)
        reader, cursor = Principal(tenant, ""), dialect.cursor(request.headers, request.query_params)
        log = _log(conversation, cursor.run)
        if log is None:
            return Response(status_code=204)
        found = await answers.find(log, reader)
        if is_read(found, cursor):
            return Response(status_code=204)
        if request.method == "HEAD":
            return head(dialect)
        surface.capacity.check(request, ANYONE)
        # Under a name of its own: the log's id would let a reader stop or delete it.
        delivery = Delivery(dialect, f"shared-{run_of(log)}", {"X-Robots-Tag": "noindex"}, cursor)
        pages = answers.read(found, reader, cursor.after, dialect="native")
        seen = _while_shared(pages, lambda: conversations.shared_head(token))
        leave, view = answers.departure(found.log), dialect.reader(delivery.message_id, cursor)
        response = LogResponse(lambda _: seen, view, delivery, surface.pace, leave, lambda: answers.retrying(found.log))
        return surface.capacity.count(response, ANYONE)


def _add_owner_routes(router: APIRouter, surface: Surface, conversations: Conversations) -> None:
    @router.post(SHARE, **route({200: ("The link", Link)}, ID))
    async def share(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Make a link with which anybody may read the conversation, also what is still to come; or find it."""
        principal, id = await surface.principal(request), request.path_params["id"]
        token = await conversations.share(id, principal)
        note(request.scope, "share", principal, id)
        return await json_response(request, Link(token, address(request, f"{mount(request, SHARE)}shared?id={token}")))

    @router.delete(SHARE, **route({204: ("It is revoked", None)}, ID))
    async def unshare(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Revoke the link."""
        principal, id = await surface.principal(request), request.path_params["id"]
        await conversations.unshare(id, principal)
        note(request.scope, "unshare", principal, id)
        return Response(status_code=204)


def _seen(request: Request, conversation: Conversation) -> Whole:
    """A conversation as strangers see it."""
    head = conversation.head
    token = head.shared or ""
    shown = msgspec.structs.replace(head, id=token, settings=msgspec.structs.replace(head.settings, system=None))
    nodes = [_node(request, node) for node in _branch(conversation)]
    return Whole(**msgspec.structs.asdict(described(shown)), messages=nodes)


def _node(request: Request, node: Node) -> Node:
    if not isinstance(node, Reply):
        return node
    location = f"{place(request)}/stream" if node.state == "open" else None
    return msgspec.structs.replace(node, location=location, matched=None)  # another user's question


def _branch(conversation: Conversation) -> list[Node]:
    return path({node.id: node for node in conversation.nodes}, conversation.head.leaf)


def _log(conversation: Conversation, run: str) -> str | None:
    """The log of the answer that is open, or of the one of a returning reader's run; None if there is none."""
    replies = [node for node in _branch(conversation) if isinstance(node, Reply) and node.location is not None]
    wanted = (node for node in replies if (run_of(node.location or "") == run if run else node.state == "open"))
    return next((node.location for node in wanted), None)


async def _while_shared(pages: Pages, shared: Callable[[], Awaitable[object]]) -> Pages:
    """The pages, until an event comes after the link was revoked. Raises `NoSuchConversation` then."""
    looked = time.monotonic()
    async with aclosing(pages):
        async for page in pages:
            if time.monotonic() - looked >= LOOK:
                await shared()
                looked = time.monotonic()
            yield page
