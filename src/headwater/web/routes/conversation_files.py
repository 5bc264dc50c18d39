"""What goes in and out of conversations as files, and what the cache has done for them."""

from urllib.parse import quote

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from headwater.conversations.conversations import Conversation, Conversations
from headwater.conversations.files import IMAGES
from headwater.conversations.nodes import Question, Summary, summary
from headwater.conversations.transfer import exported, imported, markdown
from headwater.dialects.body import json_object
from headwater.errors import RequestError
from headwater.events import Saved
from headwater.web.audit import note
from headwater.web.json_response import json_response
from headwater.web.routes.conversations import ALL, ID, ONE, route, whole
from headwater.web.routes.native import parameter
from headwater.web.surface import Surface

FILE = f"{ONE}/attachments/{{attachment}}"
EXPORT = f"{ONE}/export"
IMPORT = f"{ALL}/import"
CACHE = "/api/cache"
IMPORT_BYTES = 32 * 1024 * 1024
"""Bytes of a file that is imported, at most."""


class Taken(msgspec.Struct, frozen=True):
    """The conversations that were read from a file."""

    conversations: list[Summary]


class Figures(msgspec.Struct, frozen=True):
    """What the cache has done for the caller's conversations."""

    answers: int
    hits: int
    joins: int
    saved: Saved
    entries: int
    """Answers whose logs are kept, and can answer again."""


def add_file_routes(router: APIRouter, surface: Surface, conversations: Conversations) -> None:
    """Add the routes of attachments, of export and import, and of the cache."""
    attachment, form = parameter("attachment", "path", "Its id"), parameter("format", "query", "`markdown` or `json`")

    @router.get(FILE, **route({200: ("The file", None)}, ID, attachment))
    async def file(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The data of an attachment."""
        conversation = await conversations.read(request.path_params["id"], await surface.principal(request))
        return await file_of(conversations, conversation, request.path_params["attachment"])

    @router.get(EXPORT, **route({200: ("The file", None)}, ID, form))
    async def export(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """A conversation as a download: Markdown of the branch that is shown, or JSON of all, which can be imported."""
        wanted = request.query_params.get("format", "markdown")
        if wanted not in ("markdown", "json"):
            raise RequestError(f"there is no format {wanted[:40]!r}; there are markdown and json")
        conversation = await conversations.read(request.path_params["id"], await surface.principal(request))
        name = quote(
            "".join(" " if letter in '/\\:*?"<>|' else letter for letter in conversation.head.title)[:80].strip()
        )
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name or 'conversation'}"}
        if wanted == "markdown":
            headers["Content-Disposition"] += ".md"
            text = markdown(conversation.head, conversation.nodes)
            return Response(text, headers=headers, media_type="text/markdown; charset=utf-8")
        headers["Content-Disposition"] += ".json"
        files = await conversations.files(conversation)
        told = exported(whole(request, EXPORT, conversation), files)
        return Response(msgspec.json.encode(told), headers=headers, media_type="application/json")

    @router.post(IMPORT, **route({201: ("Taken", Taken)}, takes=dict))
    async def take(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Take in what was exported as JSON: one conversation, or `{"conversations": [...]}`."""
        principal = await surface.principal(request)
        read = imported(json_object(await surface._replace(max_body=IMPORT_BYTES).body(request)))
        heads = await conversations.take(read, principal)
        return await json_response(request, Taken([summary(head) for head in heads]), 201)


async def file_of(conversations: Conversations, conversation: Conversation, id: str) -> Response:
    """The data of an attachment. Raises `RequestError`."""
    attached = {file.id: file for node in conversation.nodes if isinstance(node, Question) for file in node.attachments}
    found = attached.get(id)
    data = found and await conversations.records.file(conversation.head.place, found)
    if found is None or data is None:
        raise RequestError(f"there is no file {id[:80]} in this conversation", "no_such_file", 404)
    image = found.type in IMAGES
    headers = {
        "Content-Type": found.type if image else "text/plain; charset=utf-8",
        "Content-Disposition": f"{'inline' if image else 'attachment'}; filename*=UTF-8''{quote(found.name)}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    return Response(data, headers=headers)


def add_cache_routes(router: APIRouter, surface: Surface, conversations: Conversations) -> None:
    """Add the routes of what the cache has done for the caller."""

    @router.get(CACHE, **route({200: ("The figures", Figures)}))
    async def figures(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """What the cache has done for the caller's conversations."""
        principal = await surface.principal(request)
        tallies = [head.tally for head in await conversations.heads(principal)]
        answers, hits, joins = (sum(getattr(tally, name) for tally in tallies) for name in ("answers", "hits", "joins"))
        seconds, tokens = sum(tally.seconds for tally in tallies), sum(tally.tokens for tally in tallies)
        costs = [tally.cost for tally in tallies if tally.cost is not None]
        saved = Saved(seconds, tokens, sum(costs) if costs else None)
        entries = len([log for log in await conversations.logs(principal) if log.state != "open"])
        return await json_response(request, Figures(answers, hits, joins, saved, entries))

    @router.delete(CACHE, **route({204: ("They are gone", None)}))
    async def clear(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Forget the logs of the caller's answers, and so their cache entries; the conversations stay."""
        principal = await surface.principal(request)
        logs = [log.log for log in await conversations.logs(principal) if log.state != "open"]
        await conversations.forget(logs, principal)
        note(request.scope, "purge", principal)
        return Response(status_code=204)
