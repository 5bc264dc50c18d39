"""Conversations that a server keeps: listed, read, asked in, shared, deleted, exported and imported.

Whose they are: with an API key its subject's, otherwise those of this client alone, which keeps the server's cookie.
"""

import asyncio
import base64
import mimetypes
import secrets
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import EllipsisType
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from headwater.answer import ToolCall
from headwater.client.answer import Answer
from headwater.client.connection import Server, written
from headwater.client.patience import Persistence
from headwater.client.reader import Reader
from headwater.errors import RequestError
from headwater.events import Ending, Saved, State, Usage

Shape = TypeVar("Shape")
PATH = "/api/conversations"


class Attachment(msgspec.Struct, frozen=True):
    """A file that went with a question."""

    id: str
    name: str
    type: str
    size: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A question (`role` is `user`) or an answer (`assistant`) in a conversation's tree; times are ISO 8601 in UTC."""

    id: str
    parent: str | None
    role: Literal["user", "assistant"]
    created_at: str = ""
    content: str = ""
    """What was asked."""
    attachments: Sequence[Attachment] = ()
    state: State | None = None
    """Of an answer; the text of one that is `open` can be read by `Client.attach(location)`."""
    location: str | None = None
    text: str = ""
    reasoning: str = ""
    tools: Sequence[ToolCall] = ()
    ending: Ending | None = None
    usage: Usage | None = None
    model: str | None = None
    cache: str | None = None
    """`hit` or `collapsed` if the cache has saved a run of the model."""
    saved: Saved | None = None
    """The tokens, the price and the time of that run."""


class Found(msgspec.Struct, frozen=True):
    """Where a search has found its words: in a message, or in the title alone."""

    message: str | None
    text: str


class Summary(msgspec.Struct, frozen=True):
    """A conversation as a line of the list; times are ISO 8601 in UTC."""

    id: str
    title: str
    created_at: str
    updated_at: str
    live: str | None = None
    """The id of the answer that is being written."""
    shared: str | None = None
    """The token of the link that shows it."""
    match: Found | None = None


class Page(msgspec.Struct, frozen=True):
    """A page of the list, newest first."""

    conversations: Sequence[Summary]
    next: str | None = None
    """The `after` of the next page; None on the last one."""
    complete: bool = True
    """False where a search ended at the server's time limit before it had looked at everything."""


class Content(msgspec.Struct, kw_only=True):
    """What a conversation had when it was read, and what was asked here since."""

    id: str
    title: str = ""
    leaf: str | None = None
    """The last message of the branch that is shown, below which `ask` asks."""
    settings: dict[str, Any] = {}
    messages: list[Message] = []
    """All of the tree, oldest first."""

    @property
    def branch(self) -> list[Message]:
        """The messages from the first one to the leaf."""
        found, at, known = list[Message](), self.leaf, {message.id: message for message in self.messages}
        while at is not None and at in known:
            found.append(known[at])
            at = known[at].parent
        return found[::-1]


class Conversation:
    """A conversation, to be asked in; `content` is what it had when it was read. Raises as `Client.chat` does."""

    def __init__(self, conversations: "Conversations", content: Content) -> None:
        self.id = content.id
        self.content = content
        self._conversations = conversations

    async def ask(
        self,
        text: str,
        *,
        files: Mapping[str, bytes] | None = None,
        parent: str | EllipsisType | None = ...,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Ask below the leaf, or below the answer `parent` on a branch of its own; None asks anew from the beginning.

        `files` are by name, which says what type they have. `settings` (`model`, `system`, `temperature`, `top_p`,
        `max_tokens`) replace those of the conversation. While another answer of it is written, raises `RequestError`
        with the code `busy`.
        """
        question = Message(id=_id(), parent=self.content.leaf if parent is ... else parent, role="user", content=text)
        attachments = [
            {
                "name": name,
                "type": mimetypes.guess_type(name)[0] or "text/plain",
                "data": base64.b64encode(data).decode(),
            }
            for name, data in (files or {}).items()
        ]
        fields = {"id": question.id, "content": text, "attachments": attachments, "settings": settings}
        answer = await self._ask(question, fields)
        self.content.messages.insert(-1, question)
        return answer

    async def regenerate(self, question: str | None = None) -> Answer:
        """Ask the last question of the branch once more, or the one of this id; the old answer stays as a branch."""
        asked = [each for each in self.content.branch if each.role == "user"]
        if question is not None:
            asked = [each for each in self.content.messages if each.id == question]
        if not asked:
            raise RequestError(f"the conversation {self.id} has no such question to be answered once more")
        return await self._ask(asked[-1], {"parent": asked[-1].id})

    async def refresh(self) -> None:
        """Read what the conversation has now."""
        self.content = (await self._conversations.get(self.id)).content

    async def _ask(self, question: Message, fields: dict[str, Any]) -> Answer:
        # Both ids are chosen here, so that a POST whose answer was lost can be sent again.
        id = _id()
        asked = {"parent": question.parent, "answer": id, **fields}
        answer = await self._conversations.ask(self.id, asked)
        self.content.leaf = id
        self.content.messages.append(
            Message(id=id, parent=question.id, role="assistant", state="open", location=answer.location)
        )
        return answer


class Conversations:
    """The conversations of one client at a server. Raises as `Client.chat` does, with the server's codes."""

    def __init__(self, server: Server, persistence: Persistence) -> None:
        self._server = server
        self._persistence = persistence
        self._known = False
        self._introducing = asyncio.Lock()

    async def list(self, query: str = "", *, after: str | None = None, limit: int | None = None) -> Page:
        """A page of the list; with a `query` of those that have all its words, each with a `match`."""
        given = {"q": query or None, "after": after, "limit": limit}
        written_out = urlencode({name: value for name, value in given.items() if value is not None})
        return await self._do("GET", f"?{written_out}", Page)

    async def create(self, id: str = "", *, title: str = "", settings: Mapping[str, Any] | None = None) -> Conversation:
        """Make a conversation, or get the one of this id: 8 to 64 letters, digits, `_` or `-`."""
        id = id or _id()
        await self._do("PUT", _at(id), Summary, {"title": title or None, "settings": settings})
        return await self.get(id)

    async def get(self, id: str) -> Conversation:
        """Read a conversation with all its messages."""
        return Conversation(self, await self._do("GET", _at(id), Content))

    async def rename(self, id: str, title: str) -> None:
        """Give a conversation another title."""
        await self._do("PATCH", _at(id), Summary, {"title": title})

    async def delete(self, id: str) -> None:
        """Delete a conversation, if there is one, with its answers and their cache entries."""
        try:
            await self._do("DELETE", _at(id), type(None))
        except RequestError as refused:
            if refused.status != 404:
                raise

    async def share(self, id: str) -> str:
        """The address of the link that shows a conversation to whoever has it; made if there is none."""
        return (await self._do("POST", _at(id, "/share"), dict[str, str]))["url"]

    async def unshare(self, id: str) -> None:
        """Revoke the link."""
        await self._do("DELETE", _at(id, "/share"), type(None))

    async def export(self, id: str, format: Literal["json", "markdown"] = "json") -> str:
        """A conversation as a file: all of it as JSON, or the branch that is shown as Markdown."""
        path = PATH + _at(id, f"/export?format={format}")
        return (await self._persistence.request(lambda: self._server.read("GET", path))).text

    async def import_(self, exported: str) -> Sequence[Summary]:
        """Take in what `export` made as JSON; returns the new conversations. Sent once, as it is not safe to repeat."""
        return (await self._server.get("POST", f"{PATH}/import", Page, exported.encode())).conversations

    async def ask(self, id: str, fields: Mapping[str, Any]) -> Answer:
        """Send a question as the server takes it: `Conversation.ask` does so."""
        return Answer(await Reader.ask(self._server, PATH + _at(id, "/messages"), fields, {}, self._persistence))

    async def _do(self, method: str, path: str, shape: type[Shape], fields: Mapping[str, Any] | None = None) -> Shape:
        body = b"" if fields is None else written(fields)
        # The first request alone, because each one without the server's cookie would be made by another visitor.
        async with nullcontext() if self._known else self._introducing:
            found = await self._persistence.request(lambda: self._server.get(method, PATH + path, shape, body))
            self._known = True
        return found


def _at(id: str, below: str = "") -> str:
    return f"/{quote(id, safe='')}{below}"


def _id() -> str:
    return secrets.token_urlsafe(12)
