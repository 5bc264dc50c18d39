"""Conversations: listed, read, asked in, changed, deleted."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.cache import policy
from headwater.conversations.asking import Ask, Asking, Busy
from headwater.conversations.conversations import Conversation, Conversations
from headwater.conversations.nodes import (
    Described,
    Head,
    Node,
    Question,
    Reply,
    Settings,
    Summary,
    Whole,
    described,
    read,
    summary,
)
from headwater.conversations.search import search
from headwater.dialects.body import json_object
from headwater.dialects.native import openapi
from headwater.dialects.native.dialect import Native
from headwater.dialects.problem import MEDIA_TYPE, problem
from headwater.errors import HeadwaterError, RequestError
from headwater.events import error_event
from headwater.web.accept import field, wants
from headwater.web.audit import note
from headwater.web.json_response import JSON, json_response, unchanged
from headwater.web.place import location
from headwater.web.routes.native import SSE, parameter
from headwater.web.surface import Surface

ALL = "/api/conversations"
ONE = f"{ALL}/{{id}}"
MESSAGES = f"{ONE}/messages"
PAGE, LONGEST = 50, 200
"""Conversations in a page of the list: where the client names no number, and at most."""

Json = dict[str, Any]
N = TypeVar("N", Question, Reply, Node)


class New(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a conversation begins with."""

    title: str | None = None
    settings: Settings | None = None


class Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed; `settings` replace those that were there."""

    title: str | None = None
    leaf: str | None = None
    settings: Settings | None = None


class Match(msgspec.Struct, frozen=True):
    """Where a search has found a conversation."""

    message: str | None
    """The id of the message; null for the title."""
    text: str


class Line(Summary, frozen=True, omit_defaults=True):
    """A line of the list."""

    match: Match | None = None


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of the list, newest first."""

    conversations: list[Line]
    next: str | None
    """The `after` of the next page; null on the last one."""
    complete: bool | None = None
    """Of a search: whether its time was enough to look at all conversations."""


class Taken(msgspec.Struct, frozen=True):
    """A question that was taken, and the node of its answer."""

    conversation: Summary
    question: Question
    answer: Reply


_FAILURES: dict[int | str, Json] = {
    "4XX": {"description": "The request cannot be served", "content": openapi.failure()},
    "5XX": {"description": "The store failed", "content": openapi.failure()},
}
ID = parameter("id", "path", "The conversation's id")
_TAKEN = "Taken; for `Accept: text/event-stream` 200, and the answer as it is written"
_LIST = (
    parameter("after", "query", "`next` of the page before"),
    parameter("q", "query", "Words that a conversation must have, in its title, its questions or its answers"),
    parameter("limit", "query", f"Conversations in the page, {PAGE} if it is not given, {LONGEST} at most"),
)


def route(replies: Mapping[int, tuple[str, Any]], *parameters: Json, takes: Any = None) -> Json:
    """What OpenAPI is told of a route: its replies, each with the struct that its JSON is of, and what it takes."""
    responses = {
        status: {
            "description": about,
            **({} if kind is None else {"content": {JSON: {"schema": openapi.schema(kind)}}}),
        }
        for status, (about, kind) in replies.items()
    }
    extra: Json = {"parameters": [*parameters]}
    if takes is not None:
        extra["requestBody"] = {"required": True, "content": {JSON: {"schema": openapi.schema(takes)}}}
    return {
        "status_code": next(iter(replies)),
        "response_class": Response,
        "responses": {**responses, **_FAILURES},
        "openapi_extra": extra,
    }


def whole(request: Request, route: str, conversation: Conversation) -> Whole:
    """A conversation as its reader sees it; `route` is the path under which the route was added."""
    nodes = [placed(request, route, node) for node in conversation.nodes]
    return Whole(**msgspec.structs.asdict(described(conversation.head)), messages=nodes)


def placed(request: Request, route: str, node: N) -> N:
    """A node with the path of its log as the client sees it."""
    if isinstance(node, Reply) and node.location is not None:
        return msgspec.structs.replace(node, location=location(request, route, node.location))
    return node


def version_of(conversation: Conversation) -> str | None:
    """What names a conversation as it is now; None while its live answer has no node, which changes no head."""
    head = conversation.head
    here = head.live is None or any(node.id == head.live.answer for node in conversation.nodes)
    return f"{head.place} {head.revision}" if here else None


def add_conversation_routes(router: APIRouter, surface: Surface, conversations: Conversations) -> None:
    """Add the routes of conversations."""

    @router.get(ALL, **route({200: ("A page", Listed)}, *_LIST))
    async def listed(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The caller's conversations, newest first; with `q` those that have all its words."""
        principal, query = await surface.principal(request), request.query_params
        heads, most = await conversations.heads(principal), _limit(query.get("limit"))
        if (words := query.get("q")) is not None:
            found, complete = await search(conversations.records, heads, words, most)
            lines = [_line(each.head, Match(each.message, each.text)) for each in found]
            return await json_response(request, Listed(lines, None, complete))
        if after := query.get("after"):
            heads = [head for head in heads if _cursor(head) < after]
        shown = heads[:most]
        page = Listed([_line(head) for head in shown], _cursor(shown[-1]) if len(heads) > most else None)
        tag = msgspec.json.encode(page).decode()
        return unchanged(request, tag) or await json_response(request, page, tag=tag)

    @router.put(ONE, **route({201: ("Made", Described), 200: ("It was there", Described)}, ID, takes=New))
    async def create(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Make the conversation of this id, if there is none."""
        principal, raw = await surface.principal(request), await surface.body(request)
        new = read(json_object(raw), New) if raw else New()
        head, made = await conversations.create(request.path_params["id"], principal, new.title, new.settings)
        return await json_response(request, described(head), 201 if made else 200)

    @router.get(ONE, **route({200: ("The conversation", Whole), 304: ("The client has it", None)}, ID))
    async def one(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """A conversation with all messages of its tree."""
        head = await conversations.use(request.path_params["id"], await surface.principal(request))
        tag = version_of(Conversation(head, []))  # where nothing is being written, the head alone tells
        if tag is not None and (same := unchanged(request, tag)):
            return same
        conversation = await conversations.whole(head)
        tag = version_of(conversation)
        same = None if tag is None else unchanged(request, tag)
        return same or await json_response(request, whole(request, ONE, conversation), tag=tag)

    @router.patch(ONE, **route({200: ("As it is now", Described)}, ID, takes=Patch))
    async def change(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Rename a conversation, choose the branch that is shown, or set how it asks."""
        principal, id = await surface.principal(request), request.path_params["id"]
        patch = read(json_object(await surface.body(request)), Patch)
        head = await conversations.patch(id, principal, patch.title, patch.leaf, patch.settings)
        return await json_response(request, described(head))

    @router.delete(ONE, **route({204: ("It is gone", None)}, ID))
    async def delete(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Forget a conversation with its files, logs and cache entries; a running answer is stopped."""
        principal, id = await surface.principal(request), request.path_params["id"]
        await conversations.delete(id, principal)
        note(request.scope, "delete-conversation", principal, id)
        return Response(status_code=204)

    _add_asking(router, surface, conversations)


def _add_asking(router: APIRouter, surface: Surface, conversations: Conversations) -> None:
    asking, dialect = Asking(surface.answers, conversations), Native()

    @router.post(MESSAGES, **route({202: (_TAKEN, Taken)}, ID, takes=Ask))
    async def ask(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Ask a question, or have `parent` answered once more. The same ids again are the same question."""
        try:
            principal, directives = await surface.principal(request), policy.parse(field(request, "cache-control"))
            wanted, told = read(json_object(await surface.body(request)), Ask), surface.told(request)
            with surface.capacity.claim(request, principal):
                asked = await asking.ask(request.path_params["id"], principal, wanted, directives)
        except HeadwaterError as error:
            if surface.metrics is not None:
                surface.metrics.refused(error.code)
            if isinstance(error, Busy):
                return _busy(request, error)
            raise
        if surface.webhooks is not None and told is not None and asked.attachment is not None:
            where = location(request, MESSAGES, asked.attachment.message_id)
            await surface.webhooks.expect(asked.attachment, principal, where, told)
        if wants(request, JSON, SSE) == JSON:
            taken = Taken(summary(asked.head), asked.question, placed(request, MESSAGES, asked.reply))
            response = await json_response(request, taken, 202)
            response.headers.update({} if asked.attachment is None else asked.attachment.fields)
            return response
        if asked.attachment is None:
            return await surface.resume(request, dialect, MESSAGES, asked.reply.location or "")
        delivery = surface.delivery(request, MESSAGES, dialect, asked.attachment)
        uncounted = msgspec.structs.replace(asked.attachment, cached=None)  # the conversation tells what was saved
        return surface.read(uncounted, principal, delivery)


def _line(head: Head, match: Match | None = None) -> Line:
    return Line(**msgspec.structs.asdict(summary(head)), match=match)


def _cursor(head: Head) -> str:
    return f"{head.updated_at}~{head.id}"


def _busy(request: Request, busy: Busy) -> Response:
    """The refusal, with the answer that is being written."""
    refusal = problem(error_event(busy))
    where = busy.location and location(request, MESSAGES, busy.location)
    told = {**msgspec.json.decode(refusal.body), "answer": busy.answer, "location": where}
    return Response(msgspec.json.encode(told), refusal.status, dict(refusal.headers), MEDIA_TYPE)


def _limit(written: str | None) -> int:
    if written is None:
        return PAGE
    if not re.fullmatch("[1-9][0-9]{0,2}", written) or int(written) > LONGEST:
        raise RequestError(f"limit={written[:20]} is not a number from 1 to {LONGEST}")
    return int(written)
