"""Conversations as files: written as Markdown and JSON, and read again from JSON, which may come from strangers. Pure.

The JSON is that of `GET /api/conversations/{id}`, with the data of each attachment beside its name.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from headwater.conversations.files import FileTooLarge, Sent, taken
from headwater.conversations.nodes import (
    Attached,
    Head,
    Id,
    InvalidConversation,
    Node,
    Question,
    Reply,
    Settings,
    Whole,
    checked_id,
    path,
    title_of,
    written,
)
from headwater.errors import InvalidPrompt

MOST = 1000
"""Conversations in a file, at most."""
MESSAGES = 20_000
"""Messages of a conversation in a file, at most."""
UNFINISHED = "This answer was still being written when the conversation was exported."


class SentQuestion(msgspec.Struct, frozen=True, tag_field="role", tag="user", kw_only=True):
    """A question in a file."""

    id: Id
    parent: str | None = None
    created_at: str
    content: str
    attachments: list[Sent] = []
    kind: Literal["ask", "continue"] = "ask"


class SentConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation in a file; what else it says is ignored."""

    id: str = ""
    title: str = ""
    leaf: str | None = None
    settings: Settings = Settings()
    messages: list[SentQuestion | Reply]


class Imported(msgspec.Struct, frozen=True):
    """A conversation that was read from a file, and the data of its attachments."""

    sent: SentConversation
    nodes: list[Node]
    """Each behind its parent."""
    files: list[tuple[Attached, bytes]]


def exported(whole: Whole, files: Mapping[str, bytes]) -> dict[str, Any]:
    """A conversation with the data of its attachments, as JSON types."""
    told = msgspec.to_builtins(whole)
    for node in told["messages"]:
        for file in node.get("attachments", ()):
            file["data"] = base64.b64encode(files.get(file["id"], b"")).decode()
    return told


def markdown(head: Head, nodes: Sequence[Node]) -> str:
    """The branch that is shown, as Markdown."""
    parts = [f"# {head.title or 'Conversation'}"]
    for node in path({node.id: node for node in nodes}, head.leaf):
        if isinstance(node, Question):
            files = "".join(f"\n\n*{file.name}*" for file in node.attachments)
            said = "*Continue.*" if node.kind == "continue" else node.content
            parts.append(f"## You\n\n{said}{files}")
        else:
            state = "" if node.state == "finished" else f"\n\n*({node.state})*"
            parts.append(f"## Answer\n\n{node.text.strip()}{state}")
    return "\n\n".join(parts) + "\n"


def imported(fields: dict[str, Any]) -> list[Imported]:
    """What a file has: one conversation, or `{"conversations": [...]}`.

    Raises `InvalidPrompt`, `InvalidConversation`, `UnsupportedFile` or `FileTooLarge`.
    """
    many = fields.get("conversations", [fields])
    try:
        conversations = msgspec.convert(many, list[SentConversation])
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidPrompt(f"this is no exported conversation: {error}") from error
    if len(conversations) > MOST:
        raise InvalidConversation(f"the file has {len(conversations)} conversations; {MOST} are taken at once")
    return [_imported(conversation) for conversation in conversations]


def _imported(sent: SentConversation) -> Imported:
    if len(sent.messages) > MESSAGES:
        raise FileTooLarge(f"the conversation has {len(sent.messages)} messages; {MESSAGES} are taken")
    files: list[tuple[Attached, bytes]] = []
    nodes: dict[str, Node] = {}
    children: dict[str | None, list[str]] = {}
    for message in sent.messages:
        node = _reply(message) if isinstance(message, Reply) else _question(message, files)
        if node.id in nodes:
            raise InvalidConversation(f"two messages have the id {node.id[:80]}")
        nodes[checked_id(node.id)] = node
        children.setdefault(node.parent, []).append(node.id)
    for node in nodes.values():
        parent = None if node.parent is None else nodes.get(node.parent)
        fits = isinstance(parent, Question) if isinstance(node, Reply) else isinstance(parent, Reply)
        if not fits and (node.parent is not None or isinstance(node, Reply)):
            raise InvalidConversation(f"the message {node.id} cannot follow {str(node.parent)[:80]}")
    reached = [*children.get(None, ())]
    for id in reached:  # grows while it is read
        reached += children.get(id, ())
    if len(reached) < len(nodes):
        raise InvalidConversation("messages of the file follow each other in a circle")
    leaf = sent.leaf if sent.leaf in nodes else next(reversed(nodes), None)
    first = next((node.content for node in nodes.values() if isinstance(node, Question)), "")
    title = " ".join(sent.title.split())[:200] or title_of(first)
    return Imported(msgspec.structs.replace(sent, title=title, leaf=leaf), [*nodes.values()], files)


def _question(message: SentQuestion, files: list[tuple[Attached, bytes]]) -> Question:
    own = taken(message.attachments, message.id)
    files += own
    return Question(
        id=message.id,
        parent=message.parent,
        created_at=_time(message.created_at),
        content=message.content,
        attachments=tuple(file for file, _ in own),
        kind=message.kind,
    )


def _reply(reply: Reply) -> Reply:
    """An answer without its log, which another server may have had."""
    reply = msgspec.structs.replace(reply, location=None, created_at=_time(reply.created_at))
    return reply.lost(UNFINISHED) if reply.state == "open" else reply


def _time(text: str) -> str:
    try:
        return written(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidConversation(f"{text[:40]!r} is no time in ISO 8601") from error
